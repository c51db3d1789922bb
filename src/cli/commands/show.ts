import { formatBytes, formatCount, formatMicros, formatTime, plural, printable } from '../../domain/format-text.ts'
import type { ServiceRecord } from '../../domain/manifest.ts'
import { counted, summarize } from '../../domain/record-summary.ts'
import { snapshotNames } from '../../usecases/resolve-snapshot.ts'
import { type Shown, show } from '../../usecases/show.ts'
import { columns, type DefineCommand, historyWorkspace } from '../context.ts'
import type { Output } from '../output.ts'

export const define: DefineCommand = (command, context) => {
  command.argument('[snapshot]', snapshotNames, 'latest').action(async (name: string) => {
    const shown = await show(await historyWorkspace(context), name)
    print(context.output, shown)
    context.output.result(shown)
  })
}

function print(output: Output, { snapshot, manifest }: Shown): void {
  output.line(`snapshot ${snapshot.id}${snapshot.partial ? ' (partial)' : ''}`)
  const rows = [
    ['message', snapshot.message],
    ...(snapshot.name ? [['name', snapshot.name]] : []),
    ['environment', snapshot.environment],
    ['taken', `${formatTime(snapshot.createdAt)}, ${snapshot.trigger}`],
    ['until', snapshot.expiresAt ? formatTime(snapshot.expiresAt) : 'no date'],
    ['code', snapshot.code],
    ['commit', snapshot.commit],
    ['manifest', snapshot.manifest],
  ]
  if (manifest) {
    const { level, heldMicros, skewMicros } = manifest.consistency
    rows.push([
      'level',
      `${level}, writers held ${formatMicros(heldMicros)}, points within ${formatMicros(skewMicros)}`,
    ])
    if (manifest.code.changes)
      rows.push(['changes', `${plural(manifest.code.changes.files, 'uncommitted file')} kept beside`])
    if (manifest.completes) rows.push(['completes', `safety snapshot ${manifest.completes}`])
  }
  for (const row of columns(rows)) output.line(row)
  if (!manifest) output.line('its data is not in this store')
  for (const record of manifest?.services ?? []) printService(output, record)
}

function printService(output: Output, record: ServiceRecord): void {
  output.line()
  const versions = Object.entries(record.versions).map(([name, version]) => `${name} ${version}`)
  output.line(`${record.name}  ${record.type}  ${[summarize(record), ...versions].map(printable).join(', ')}`)
  const objects = record.objects.flatMap(({ kind, name, rows }) => {
    const unit = counted[kind]?.[1]
    return unit === undefined ? [] : [[name, plural(rows, unit)] as const]
  })
  for (const row of columns(objects)) output.line(row)
  for (const name of record.live.slice(0, 10)) output.line(`  live: ${printable(name)}`)
  if (record.live.length > 10) output.line(`  and ${formatCount(record.live.length - 10)} more`)
  if (record.kind === 'mount') output.line(`  ${plural(record.files, 'file')}, ${formatBytes(record.bytes)}`)
  const stopped = record.facts['stoppedMicros']
  if (typeof stopped === 'number') output.line(`  stopped for ${formatMicros(stopped)}`)
}
