import { openGitRepository } from '../../src/git/open-repository.ts'

/**
 * A process that swaps code and dies by SIGKILL right after the n-th durable step:
 * `code-swap-process.ts <folder> <staged as JSON> <forward | back> <n>`; 0 lives, and prints the steps.
 */
const [directory = '', staged = '', direction = '', dieAt = '0'] = process.argv.slice(2)
const steps: string[] = []
const repository = await openGitRepository(directory, { environment: process.env })
const swap = await repository.code.swap(JSON.parse(staged), (step) => {
  steps.push(step)
  if (steps.length === Number(dieAt)) process.kill(process.pid, 'SIGKILL')
})
if (direction === 'forward') {
  await swap.lastCapture()
  await swap.forward()
} else {
  await swap.back()
}
console.log(JSON.stringify(steps))
