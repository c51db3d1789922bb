import { BaseSequencer, type TestSpecification } from 'vitest/node'

/** Folders whose files take longest, in the order in which they begin: one that began last would be waited for alone. */
const first = ['test/e2e/crash', 'test/contract/', 'test/e2e/', 'test/services/', 'test/git/']

export class SlowFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification) => {
      const found = first.findIndex((folder) => moduleId.includes(folder))
      return found === -1 ? first.length : found
    }
    return files.toSorted((a, b) => rank(a) - rank(b))
  }
}
