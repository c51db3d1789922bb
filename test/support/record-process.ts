import { openGitRepository } from '../../src/git/open-repository.ts'
import { takeSample } from './sample-snapshot.ts'

/** A process that takes `n` snapshots one after the other: `record-process.ts <folder> <n>`. Tries again when the code changed meanwhile. */
const [directory = '', count = '0'] = process.argv.slice(2)
const repository = await openGitRepository(directory, { environment: process.env })
let refused = 0
for (let i = 0; i < Number(count); ) {
  try {
    await takeSample(repository)
    i++
  } catch (error) {
    if ((error as { code?: string }).code !== 'refused') throw error
    refused++
  }
}
console.log(refused)
