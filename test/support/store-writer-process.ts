import { LocalBackend } from '../../src/backends/local.ts'
import { openStore } from '../../src/store/packed-store.ts'
import { noise, rows, writeSnapshot } from './store-samples.ts'

/** What a writer process stores; two packs. */
const killedStreams = [rows(200_000), noise(18_000_000, 2)]
const killedId = '01j00000000000000000000002'

/** Writes a snapshot into the store of this folder, and kills itself right after the n-th durable step. */
async function writeUntil(directory: string, step: number): Promise<void> {
  let steps = 0
  const trace = () => {
    steps++
    if (steps === step) process.kill(process.pid, 'SIGKILL')
  }
  const store = await openStore(new LocalBackend(directory), { trace })
  await writeSnapshot(store.writer(), killedStreams, killedId)
}

if (process.argv[1] === import.meta.filename) await writeUntil(process.argv[2]!, Number(process.argv[3]))
