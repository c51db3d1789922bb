import { readdir, readFile } from 'node:fs/promises'
import { Command } from 'commander'
import { expect, test } from 'vitest'
import type { Context } from '../../src/cli/context.ts'
import { manPage } from '../../src/cli/man-page.ts'
import { loadCommand } from '../../src/cli/program.ts'

const page = await manPage('1.2.3')

test('the manual page has every command that people use, with every option of it', async () => {
  const sections = new Map(page.split(/^\.SS /m).map((section) => [section.split(/["\s]/)[3], section]))
  const files = await readdir(new URL('../../src/cli/commands', import.meta.url))
  const names = files.map((file) => file.replace('.ts', '')).filter((name) => name !== 'guard')
  expect(names.length).toBeGreaterThan(15)
  for (const name of names) {
    const command = new Command(name)
    const define = await loadCommand(name)
    define(command, {} as Context)
    for (const flag of ['--json', '--quiet', ...command.options.map(({ long }) => long!)]) {
      expect([name, sections.get(name)]).toEqual([name, expect.stringContaining(flag.replaceAll('-', '\\-'))])
    }
  }
  expect(page).toContain('"git\\-env 1.2.3"')
})

test('nothing in the manual page is taken for a request to the formatter', () => {
  const known = /^\.(TH|SH|SS|PP|TP|B|BR|I|nf|fi)\b/
  expect(page.split('\n').filter((line) => /^[.']/.test(line) && !known.test(line))).toEqual([])
})

test('npm links the manual page: it takes a list of them only', async () => {
  const described = JSON.parse(await readFile(new URL('../../package.json', import.meta.url), 'utf8'))
  expect([described.man, described.scripts.build]).toEqual([
    ['dist/git-env.1'],
    'tsc -p tsconfig.build.json && node dist/write-man-page.js',
  ])
})
