import { formatBytes, plural } from './format-text.ts'
import type { ServiceRecord } from './manifest.ts'

/** Kinds of objects whose `rows` are told: what the objects are called (one, many), where they are counted too, and what their rows are. */
export const counted: Readonly<
  Record<string, readonly [objects: readonly [string, string] | undefined, rows: string]>
> = {
  table: [['table', 'tables'], 'row'],
  index: [undefined, 'key'],
  queue: [['queue', 'queues'], 'message'],
  collection: [['index', 'indices'], 'document'],
  documents: [['collection', 'collections'], 'document'],
}

/** What a service's record holds, in one line: `11 tables, 15,607 rows, 984 KiB`. */
export function summarize(record: ServiceRecord): string {
  if (record.presence === 'absent') return 'absent'
  if (record.presence === 'damaged') return `damaged, kept as it is, ${formatBytes(record.bytes)}`
  const parts: string[] = []
  for (const [kind, [names, rows]] of Object.entries(counted)) {
    const objects = record.objects.filter((object) => object.kind === kind)
    if (objects.length === 0) continue
    if (names) parts.push(plural(objects.length, ...names))
    parts.push(
      plural(
        objects.reduce((sum, object) => sum + object.rows, 0),
        rows,
      ),
    )
  }
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
