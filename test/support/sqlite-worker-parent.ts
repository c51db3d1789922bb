import { WorkerProcess } from '../../src/services/sqlite/worker-process.ts'

/** Run as a process: has its worker stuck in a system call (the file is a named pipe that nobody writes), and says which process that is. */
if (process.send) {
  const worker = new WorkerProcess(process.argv[2]!, new AbortController().signal)
  await worker.call('hold').catch(() => {})
  worker.call('keepRaw', { directory: process.argv[3]! }).catch(() => {})
  setTimeout(() => process.send!(worker.pid), 200)
}
