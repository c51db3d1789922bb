import { formatBytes, plural } from './format-text.ts'
import type { ServiceRecord } from './manifest.ts'

/** What a service's record holds, in one line: `11 tables, 15,607 rows, 984 KiB`. */
export function summarize(record: ServiceRecord): string {
  if (record.presence === 'absent') return 'absent'
  if (record.presence === 'damaged') return `damaged, kept as it is, ${formatBytes(record.bytes)}`
  const parts: string[] = []
  const tables = record.objects.filter((object) => object.kind === 'table')
  if (tables.length > 0) {
    const rows = tables.reduce((sum, table) => sum + table.rows, 0)
    parts.push(plural(tables.length, 'table'), plural(rows, 'row'))
  }
  const indexes = record.objects.filter((object) => object.kind === 'index')
  if (indexes.length > 0)
    parts.push(
      plural(
        indexes.reduce((sum, index) => sum + index.rows, 0),
        'key',
      ),
    )
  if (record.kind === 'mount') parts.push(plural(record.files, 'file'))
  parts.push(formatBytes(record.bytes))
  if (record.level !== 'frozen') parts.push(record.level)
  return parts.join(', ')
}

/** The lines of a snapshot commit's body that tell what it holds, names padded to one width. */
export function summaryLines(records: readonly ServiceRecord[]): string[] {
  const width = Math.max(0, ...records.map((record) => record.name.length))
  return records.map((record) => `  ${record.name.padEnd(width)}  ${summarize(record)}`)
}
