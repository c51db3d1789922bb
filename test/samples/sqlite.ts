import { hash } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import type { DriverSample, LiveSample } from '../contract/service-driver.ts'
import { changeOddDatabase, makeOddDatabase } from '../support/odd-sqlite.ts'
import { sqliteContent } from '../support/sqlite-content.ts'
import { startSqliteWriter } from '../support/sqlite-writer.ts'
import { temporaryDirectory } from '../support/temporary.ts'

export const sample: DriverSample = { type: 'sqlite', create: () => createSqliteSample('wal') }

/** `data/app.sqlite` in a project that has another database, and a file with a similar name, right beside it. */
export async function createSqliteSample(journalMode: 'wal' | 'delete'): Promise<LiveSample> {
  const projectDirectory = await temporaryDirectory()
  const folder = path.join(projectDirectory, 'data')
  mkdirSync(folder)
  const file = path.join(folder, 'app.sqlite')
  makeOddDatabase(file, journalMode)
  makeOddDatabase(path.join(folder, 'app.sqlite2'), 'delete')
  writeFileSync(path.join(folder, 'app.sqlite-notes'), 'not ours')
  const removeAll = () => {
    for (const suffix of ['', '-wal', '-shm', '-journal']) rmSync(file + suffix, { force: true })
  }
  return {
    config: { path: 'data/app.sqlite' },
    projectDirectory,
    change: async (seed) => changeOddDatabase(file, seed),
    fingerprint: async () => sqliteContent(file),
    strangers: async () => strangersOf(folder),
    remove: async () => removeAll(),
    ruins: {
      'a file that is no database': async () => writeFileSync(file, 'garbage '.repeat(5000)),
      'a file that is cut short': async () => truncateSync(file, 12_288),
      'a -wal left without its file': async () => {
        removeAll()
        writeFileSync(`${file}-wal`, 'left behind')
      },
      'an empty file beside a -wal': async () => {
        writeFileSync(file, '')
        writeFileSync(`${file}-wal`, 'left behind')
      },
      'a page of nonsense inside': async () => {
        const bytes = readFileSync(file)
        writeFileSync(file, bytes.fill(0x7f, 4096 * 3, 4096 * 9))
      },
    },
    startWriter: () => startSqliteWriter(file),
    written: async () => writtenIn(file),
    fingerprintExport: async (directory, [first]) => sqliteContent(path.join(directory, first!)),
  }
}

function strangersOf(folder: string): string {
  const names = readdirSync(folder).filter((name) => !/^app\.sqlite(-wal|-shm|-journal)?$/.test(name))
  return names.map((name) => `${name} ${hash('sha256', readFileSync(path.join(folder, name)))}`).join('\n')
}

function writtenIn(file: string): number[] {
  const database = new DatabaseSync(file, { timeout: 30_000 })
  try {
    const table = database.prepare(`SELECT 1 FROM sqlite_schema WHERE name = 'written'`).get()
    if (!table) return []
    return database
      .prepare('SELECT number FROM written ORDER BY number')
      .all()
      .map((row) => Number(row['number']))
  } finally {
    database.close()
  }
}
