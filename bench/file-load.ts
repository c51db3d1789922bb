import { renameSync, writeFileSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { fileURLToPath } from 'node:url'
import { type Load, startLoad, writeAllTheTime } from './load.ts'

type Place = { readonly sqlite: string } | { readonly folder: string }

/** One writer of a SQLite database, or of files in a folder, all the time. */
export function fileLoad(place: Place): Promise<Load> {
  return startLoad(fileURLToPath(import.meta.url), place)
}

if (process.argv[2] === 'write' && process.send) {
  const place = JSON.parse(process.argv[3]!) as Place
  if ('sqlite' in place) {
    await writeAllTheTime(
      async () => new DatabaseSync(place.sqlite, { timeout: 30_000 }),
      async (database, number) => database.prepare('UPDATE counter SET value = ?').run(number),
      1,
    )
  } else {
    await writeAllTheTime(
      async () => place.folder,
      async (folder, number) => {
        const file = `${folder}/${number % 50}.txt`
        writeFileSync(`${file}.new`, `number ${number}\n`)
        renameSync(`${file}.new`, file)
      },
      1,
    )
  }
}
