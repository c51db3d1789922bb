import { expect, test } from 'vitest'
import { printDifferences } from '../../src/cli/differences.ts'
import { Output } from '../../src/cli/output.ts'
import type { Difference } from '../../src/usecases/diff.ts'

class Recorded extends Output {
  text = '\n'

  override line(text = ''): void {
    this.text += `${text}\n`
  }
}

const of = (kind: string, name: string, change: Difference['change'], more: Partial<Difference> = {}): Difference => ({
  service: 'uploads',
  kind,
  name,
  change,
  ...more,
})

const differences = [
  of('folder', 'a', 'removed'),
  of('folder', 'a/b', 'removed'),
  of('file', 'a/b/one', 'removed', { before: 1000 }),
  of('link', 'a/two', 'removed'),
  of('file', 'a.txt', 'removed', { before: 5 }),
  of('folder', 'changed', 'changed'),
  of('file', 'changed/three', 'added', { after: 2048 }),
  of('folder', 'empty', 'added'),
  of('folder', 'new', 'added'),
  of('file', 'new/four', 'added', { after: 3072 }),
]

function printed(lines: number): string {
  const output = new Recorded({ json: false, quiet: false })
  printDifferences(output, { from: 'x', to: 'live', differences, code: undefined }, { lines })
  return output.text
}

test('a folder that came or went whole is one line with a count', () => {
  expect(printed(40)).toMatchInlineSnapshot(`
    "
    uploads: 2 folders added, 1 changed, 2 removed; 2 files added, 2 removed; 1 link removed
      - a/             2 files, 1.0 KiB
      - a.txt          5 B
      ~ changed
      + changed/three  2.0 KiB
      + empty
      + new/           1 file, 3.0 KiB
    "
  `)
})

test('with all lines every file of it is there, and the limit counts lines', () => {
  expect(printed(Number.POSITIVE_INFINITY)).toContain('- a/b/one')
  expect(printed(2)).toMatch(/\n {2}… and 4 more; --all shows them\n$/)
})
