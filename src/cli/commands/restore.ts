import { EnvError } from '../../domain/errors.ts'
import { formatAge, formatBytes, formatMicros, plural, printable } from '../../domain/format-text.ts'
import { summarize } from '../../domain/record-summary.ts'
import { shortId } from '../../domain/snapshot-id.ts'
import type { SwapWay } from '../../domain/swap.ts'
import { asActivity } from '../../usecases/activity.ts'
import { previewRestore } from '../../usecases/diff.ts'
import { planRestore, type RestorePlan } from '../../usecases/plan-restore.ts'
import { recoverFirst } from '../../usecases/recover.ts'
import { snapshotNames } from '../../usecases/resolve-snapshot.ts'
import { executeRestore, type RestoreResult } from '../../usecases/restore.ts'
import { planUndo } from '../../usecases/undo.ts'
import { alone, type Context, columns, configuredWorkspace, type DefineCommand, list, workspaceOf } from '../context.ts'
import { printDifferences } from '../differences.ts'

type Options = {
  only?: string[]
  to?: string
  withMessages?: boolean
  dataOnly?: boolean
  codeOnly?: boolean
  detach?: boolean
  reset?: boolean
  dryRun?: boolean
  all?: boolean
  yes?: boolean
  wait?: boolean
  continue?: boolean
  abort?: boolean
}

export const define: DefineCommand = (command, context) => {
  command
    .argument('[snapshot]', snapshotNames, 'latest')
    .option('--only <parts>', 'only these: app, app:table, media, media:path; the code stays', list)
    .option('--to <environment>', 'put the snapshot of another environment into this one')
    .option('--with-messages', 'with --to: also messages that wait in queues, which are left out else')
    .option('--data-only', 'leave the code as it is')
    .option('--code-only', 'leave the data as it is')
    .option('--detach', 'leave the branch, and check the snapshot out detached')
    .option('--reset', 'move the branch back instead of appending a commit to it')
    .option('--dry-run', 'show per table and file what would change, and change nothing')
    .option('--all', 'with --dry-run: every table and file, however many')
    .option('-y, --yes', 'do not ask')
    .option('--wait', 'wait for another activity to end')
    .option('--continue', 'finish a restore that was cut short')
    .option('--abort', 'take back a restore that was cut short')
    .addHelpText('after', examples)
    .action(async (name: string, options: Options) => {
      if (options.continue || options.abort) return recover(context, options.abort ? 'abort' : 'continue')
      refuseContradiction(options)
      await alone(context, await workspaceOf(context), { command: 'restore', wait: options.wait }, async () => {
        // Opened now: what ran before may have changed branch and configuration.
        const workspace = await configuredWorkspace(context)
        const plan = await planRestore(workspace, {
          snapshot: name,
          ...(options.only === undefined ? {} : { only: options.only }),
          ...(options.to === undefined ? {} : { to: options.to }),
          withMessages: options.withMessages ?? false,
          what: options.dataOnly ? 'data' : options.codeOnly ? 'code' : 'all',
          code: options.detach ? 'detach' : options.reset ? 'reset' : 'append',
        })
        try {
          if (options.dryRun) return await dryRun(context, plan, options.all ? Number.POSITIVE_INFINITY : 40)
          printPlan(context, plan)
          await context.output.confirm('restore?', options.yes ?? false)
          printRestored(context, plan, await executeRestore(plan))
        } finally {
          await plan.close()
        }
      })
    })
}

function refuseContradiction(options: Options): void {
  const exclusive = [
    ['--only', '--data-only', '--code-only'],
    ['--detach', '--reset', '--data-only', '--only'],
  ]
  const given: Record<string, unknown> = {
    '--only': options.only,
    '--data-only': options.dataOnly,
    '--code-only': options.codeOnly,
    '--detach': options.detach,
    '--reset': options.reset,
  }
  for (const group of exclusive) {
    const both = group.filter((name) => given[name])
    if (both.length > 1) throw new EnvError('usage', `${both.join(' and ')} contradict each other`)
  }
}

async function recover(context: Context, choice: 'continue' | 'abort'): Promise<void> {
  const workspace = await workspaceOf(context)
  await asActivity(workspace, { command: 'restore', wait: false, onRecovered: () => {}, recover: false }, async () => {
    const finished = await recoverFirst(workspace, choice)
    for (const { direction, journal } of finished) {
      context.output.line(
        `${journal.operation} of ${shortId(journal.snapshot)} ${direction === 'forward' ? 'finished' : 'taken back'}`,
      )
    }
    if (finished.length === 0) context.output.line('no restore was cut short')
    // Its swap had begun: everything is safe only once it is finished, and then undone like any other.
    const begun = finished.find(({ direction }) => direction === 'forward')
    if (choice === 'abort' && begun) {
      const redo = begun.journal.operation === 'undo'
      const plan = await planUndo(await configuredWorkspace(context), { redo })
      printRestored(context, plan, await executeRestore(plan))
      return
    }
    context.output.result(
      finished.map(({ direction, journal }) => ({ id: journal.id, snapshot: journal.snapshot, direction })),
    )
  })
}

/** What is about to happen, before it is confirmed. */
function printPlan({ output, ports }: Context, plan: RestorePlan): void {
  const { snapshot, parts, codePreview, leftAlone } = plan
  const age = formatAge(snapshot.createdAt, ports.now())
  output.line(
    `restore ${shortId(snapshot.id)} ${printable(snapshot.message)}, ${age}, into ${printable(plan.workspace.environment.name)}`,
  )
  const rows = parts.map(({ service, record, only, probe }) => [
    service.name,
    only ? `only ${only.join(', ')}` : summarize(record),
    swapText(service.driver.kind, probe.swap),
  ])
  if (codePreview) {
    const { added, changed, removed } = codePreview
    const aside = plan.uncommitted > 0 ? `, ${plural(plan.uncommitted, 'uncommitted file')} kept for undo` : ''
    const text = `${plural(added + changed + removed, 'file')} to change${aside}`
    rows.push(['code', text, ''])
  }
  if (parts.length > 0) {
    for (const { name, command } of plan.workspace.config.rebuilds)
      rows.push([name, `rebuilt by ${command.join(' ')}`, ''])
  }
  for (const row of columns(rows)) output.line(row)
  for (const { service, leaves } of parts) if (leaves !== undefined) output.warn(leavesText(service.name, leaves))
  for (const name of plan.moved)
    output.warn(
      `${printable(name)} was elsewhere then: the data goes where the configuration says now, and the restored code may look where it was`,
    )
  for (const name of leftAlone) output.warn(`${name} is not in this snapshot and stays as it is`)
  output.line('  what is there now is kept: git env undo brings it back')
}

function leavesText(name: string, leaves: string): string {
  return `${name}: ${leaves} of the snapshot are left out, so that nothing is sent twice; --with-messages brings them too`
}

function swapText(kind: 'service' | 'mount', swap: SwapWay): string {
  if (kind === 'mount') return 'what differs is swapped, file by file'
  const texts = {
    ahead: 'writers go on while it is written, readers wait',
    'in place': 'writers wait while it is written',
    rename: 'swapped in milliseconds',
  }
  return texts[swap]
}

async function dryRun({ output }: Context, plan: RestorePlan, lines: number): Promise<void> {
  const preview = await previewRestore(plan)
  const bytes = plan.parts.reduce((sum, part) => sum + part.record.bytes, 0)
  output.line(
    `restoring ${shortId(plan.snapshot.id)} ${printable(plan.snapshot.message)} (${formatBytes(bytes)}) would change:`,
  )
  for (const { service, leaves } of plan.parts) if (leaves !== undefined) output.warn(leavesText(service.name, leaves))
  printDifferences(output, preview, { lines })
  output.result(preview)
}

export function printRestored({ output }: Context, plan: RestorePlan, result: RestoreResult): void {
  const what = [...result.parts, ...(plan.codePreview ? ['code'] : [])].join(', ')
  const verb = { restore: `restored ${shortId(result.snapshot.id)}`, undo: 'undone:', redo: 'redone:' }[plan.operation]
  const held = result.heldMicros > 0 ? `; writers held ${formatMicros(result.heldMicros)}` : ''
  output.line(`${verb} ${printable(plan.title)}: ${what}${held}`)
  const back = plan.operation === 'undo' ? 'git env undo --redo' : 'git env undo'
  output.hint(`${back} takes it back; what was there is snapshot ${shortId(result.before)}`)
  output.result({ ...result, operation: plan.operation })
}

const examples = `
Examples:
  git env restore                      the latest snapshot, all of it
  git env restore latest~1 --dry-run   what the one before would change
  git env restore --only app:orders    one table
  git env restore "@{yesterday}"       the last one taken before that time
  git env restore v1.2                 the one that this tag's commit carries`
