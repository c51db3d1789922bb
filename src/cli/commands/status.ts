import { formatAge, formatBytes, plural, printable } from '../../domain/format-text.ts'
import { shortId } from '../../domain/snapshot-id.ts'
import { status } from '../../usecases/status.ts'
import { columns, configuredWorkspace, type DefineCommand } from '../context.ts'
import { relativePath } from '../paths.ts'

export const define: DefineCommand = (command, context) => {
  command.action(async () => {
    const { output, directory, ports } = context
    const result = await status(await configuredWorkspace(context))
    output.line(`environment ${printable(result.environment)}`)
    const rows = result.services.map(({ name, type, probe, path }) => {
      return [name, type, relativePath(path, directory), probe.presence === 'present' ? probe.summary : probe.presence]
    })
    for (const row of columns(rows)) output.line(row)
    const { latest } = result
    if (latest) {
      const age = formatAge(latest.createdAt, ports.now())
      output.line(`latest snapshot ${shortId(latest.id)} ${printable(latest.message)}, ${age}`)
    } else {
      output.line('no snapshot yet')
    }
    const { usage, location } = result.store
    output.line(
      `store ${relativePath(location, directory)}: ${plural(usage.manifests, 'snapshot')}, ${formatBytes(usage.bytes)}`,
    )
    if (result.undo > 0) output.line(`${plural(result.undo, 'restore')} can be undone`)
    if (result.redo > 0) output.line(`${plural(result.redo, 'undo')} can be redone`)
    for (const id of result.unfinished) output.warn(`restore ${id} was cut short: git env recover`)
    for (const { name, probe } of result.services) {
      if (probe.presence !== 'present') output.hint(`${name} is ${probe.presence}; git env restore brings it back`)
    }
    output.result(result)
  })
}
