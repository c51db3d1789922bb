import { createHash } from 'node:crypto'
import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import path from 'node:path'
import { DatabaseSync } from 'node:sqlite'

/** Every entry below a folder with kind, permissions, time to the nanosecond and content, one line each: what a restore must bring back. */
export function treeFingerprint(directory: string, options: { readonly skip?: readonly string[] } = {}): string[] {
  const lines: string[] = []
  // File names are bytes: one character each here.
  const visit = (relative: string) => {
    if (options.skip?.includes(relative)) return
    const full = Buffer.concat([
      Buffer.from(relative === '' ? directory : `${directory}/`),
      Buffer.from(relative, 'latin1'),
    ])
    const stats = lstatSync(full, { bigint: true })
    const head = `${relative || '.'} ${(stats.mode & 0o177777n).toString(8)} ${stats.mtimeNs}`
    if (stats.isSymbolicLink()) lines.push(`${head} -> ${readlinkSync(full)}`)
    else if (stats.isDirectory()) {
      lines.push(head)
      for (const name of readdirSync(full, { encoding: 'latin1' }).sort()) visit(path.posix.join(relative, name))
    } else lines.push(`${head} ${createHash('sha256').update(readFileSync(full)).digest('hex')}`)
  }
  visit('')
  return lines
}

/** Schema and every row with its rowid, as text: equal when `.dump` would be. */
export function databaseDump(file: string): string[] {
  const database = new DatabaseSync(file, { readOnly: true })
  try {
    const schema = database.prepare('SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY rowid').all()
    const lines = schema.map((row) => JSON.stringify(row))
    for (const { type, name, sql } of schema) {
      if (type !== 'table') continue
      const rowid = /WITHOUT ROWID/i.test(String(sql)) ? '' : 'rowid AS "the rowid", '
      const rows = database.prepare(`SELECT ${rowid}* FROM "${String(name).replaceAll('"', '""')}"`)
      rows.setReadBigInts(true)
      for (const row of rows.iterate()) {
        lines.push(
          `${String(name)} ${JSON.stringify(row, (_key, value) => (typeof value === 'bigint' ? `${value}n` : value))}`,
        )
      }
    }
    return lines
  } finally {
    database.close()
  }
}
