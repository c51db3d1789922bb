import { formatBytes, formatDay, formatMicros, plural } from '../../domain/format-text.ts'
import { summaryLines } from '../../domain/record-summary.ts'
import { shortId } from '../../domain/snapshot-id.ts'
import { type SnapshotResult, snapshot } from '../../usecases/snapshot.ts'
import { storeLocation } from '../../usecases/workspace.ts'
import { alone, configuredWorkspace, type DefineCommand, list, workspaceOf } from '../context.ts'
import type { Output } from '../output.ts'
import { relativePath } from '../paths.ts'

type Options = {
  message?: string
  name?: string
  only?: string[]
  live?: boolean
  withChanges?: boolean
  side?: boolean
  dryRun?: boolean
  wait?: boolean
  adopt?: boolean
}

export const define: DefineCommand = (command, context) => {
  command
    .option('-m, --message <text>', 'what this snapshot is for')
    .option('--name <name>', 'a name to call it by')
    .option('--only <services>', 'only these services and mounts: a partial snapshot, never "latest"', list)
    .option('--with-changes', 'keep uncommitted and untracked code beside it')
    .option('--live', 'make nobody wait: each service at a moment of its own')
    .option('--side', 'do not append to the branch, only reference the snapshot')
    .option('--dry-run', 'read everything, show what would be stored, store nothing')
    .option('--adopt', "the data is this environment's from now on, though that of another was loaded")
    .option('--wait', 'wait for another activity to end')
    .addHelpText('after', examples)
    .action(async (options: Options) => {
      const ran = await alone(
        context,
        await workspaceOf(context),
        { command: 'snapshot', wait: options.wait },
        async () => {
          // Opened now: what ran before may have changed branch and configuration.
          const workspace = await configuredWorkspace(context)
          const result = await snapshot(workspace, {
            message: options.message ?? '',
            ...(options.name === undefined ? {} : { name: options.name }),
            ...(options.only === undefined ? {} : { only: options.only }),
            live: options.live ?? false,
            withChanges: options.withChanges ?? false,
            side: options.side ?? false,
            dryRun: options.dryRun ?? false,
            adopt: options.adopt ?? false,
          })
          return { result, store: storeLocation(workspace) }
        },
      )
      printSnapshot(context.output, ran.result, relativePath(ran.store, context.directory))
      context.output.result(ran.result)
    })
}

function printSnapshot(output: Output, result: SnapshotResult, store: string): void {
  const { manifest, added, uncommitted, commit } = result
  const title = manifest.message === '' ? '' : `: ${manifest.message}`
  const head = commit ? `snapshot ${shortId(manifest.id)}` : 'this would be a snapshot'
  output.line(`${head} of ${manifest.environment}${manifest.partial ? ' (partial)' : ''}${title}`)
  for (const line of summaryLines(manifest.services)) output.line(line)
  const { heldMicros, level } = manifest.consistency
  const held = level === 'live' ? 'not at one point in time' : `writers held ${formatMicros(heldMicros)}`
  if (commit) {
    const until = formatDay(new Date(manifest.expiresAt))
    output.line(`  ${formatBytes(added.storedBytes)} new in ${store}; ${held}; can be restored until ${until}`)
  } else {
    output.line(`  ${formatBytes(added.plainBytes)} new before compression; ${held}; nothing was stored`)
  }
  for (const service of manifest.services.filter((each) => each.live.length > 0)) {
    const names = service.live.slice(0, 3).join(', ')
    output.warn(
      `${service.name}: ${plural(service.live.length, 'file')} changed while being read and may be newer: ${names}`,
    )
  }
  const files = uncommitted.changed.length + uncommitted.untracked.length
  if (files === 0) return
  if (manifest.code.changes) output.line(`  ${plural(files, 'uncommitted file')} kept beside it`)
  else output.hint(`${plural(files, 'uncommitted file')} not in it; --with-changes keeps them beside`)
}

const examples = `
Examples:
  git env snapshot -m "before upgrade"
  git env snapshot --dry-run
  git env snapshot --only app -m "orders only"`
