import { closeSync, openSync, writeFileSync, writeSync } from 'node:fs'
import path from 'node:path'
import { pseudoRandom, rows } from './data.ts'
import { folderBytes, measure, table } from './measure.ts'
import { gitEnv, gitEnvironment, makeRepository } from './project.ts'

const mebibytes = 96
const edits = 20

/** How much the store grows when a few rows of a large text file change, and when nothing does. */
export async function benchEdits(directory: string): Promise<void> {
  const project = path.join(directory, 'edits')
  makeRepository(project)
  const file = path.join(project, 'media/dump.tsv')
  const bytes = mebibytes * 2 ** 20
  writeFileSync(file, rows(bytes, pseudoRandom(3)))
  const run = (...words: string[]) => measure(...gitEnv(...words), { cwd: project, env: gitEnvironment })
  const grown: string[][] = []
  let before = 0
  const step = async (name: string) => {
    const { seconds } = await run('snapshot', '-m', name)
    const now = folderBytes(path.join(project, '.git/env/store'))
    grown.push([name, `${((now - before) / 1024).toFixed(1)} KiB`, `${seconds.toFixed(2)} s`])
    before = now
  }
  await run('init')
  await step(`first, ${mebibytes} MiB of text rows`)
  const random = pseudoRandom(5)
  const handle = openSync(file, 'r+')
  for (let i = 0; i < edits; i++) writeSync(handle, `edited ${i}`, Math.floor(random() * (bytes - 100)))
  closeSync(handle)
  await step(`after ${edits} scattered edits`)
  await step('after no change at all')
  process.stdout.write(`\nGrowth of the store\n\n${table(['snapshot', 'store grows by', 'time'], grown)}\n`)
}
