import { styleText } from 'node:util'
import { InvalidArgumentError } from 'commander'
import { formatDay, formatTime, printable } from '../../domain/format-text.ts'
import { shortId } from '../../domain/snapshot-id.ts'
import { graph, history, type LogLine, listSnapshots, type SnapshotLine } from '../../usecases/log.ts'
import { columns, type DefineCommand, historyWorkspace } from '../context.ts'

type Options = { number?: number; snapshots?: boolean; all?: boolean; graph?: boolean }

export const define: DefineCommand = (command, context) => {
  command
    .argument('[revision]', 'where to begin', 'HEAD')
    .option('-n, --number <count>', 'at most so many lines', count)
    .option('--snapshots', 'snapshots alone')
    .option('--all', 'with --snapshots: of every environment, also those taken before a restore')
    .option('--graph', 'draw the history as git log --graph does')
    .addHelpText('after', examples)
    .action(async (revision: string, options: Options) => {
      const workspace = await historyWorkspace(context)
      const { output } = context
      if (options.snapshots) {
        const all = options.all ?? false
        const lines = await listSnapshots(workspace, { all, ...(options.number ? { limit: options.number } : {}) })
        output.lines(
          columns(
            lines.map((line) => snapshotRow(line, all)),
            '',
          ),
        )
        if (lines.length === 0) output.line(`no snapshot of ${workspace.environment.name} yet`)
        return output.result(lines)
      }
      const request = { from: revision, limit: options.number ?? 50 }
      if (options.graph) {
        const lines = await graph(workspace, request)
        for (const { prefix, entry } of lines) output.line(`${prefix} ${entry ? commitText(entry) : ''}`.trimEnd())
        return output.result(lines)
      }
      const lines = await history(workspace, request)
      output.lines(lines.map((line) => `${mark(line)} ${commitText(line)}`))
      output.result(lines)
    })
}

function count(value: string): number {
  const number = Number(value)
  if (!Number.isInteger(number) || number < 1) throw new InvalidArgumentError('a count of 1 or more is needed')
  return number
}

function mark(line: LogLine): string {
  return line.snapshot ? styleText('green', '●') : line.restored ? styleText('yellow', '↶') : '○'
}

function commitText(line: LogLine): string {
  const id = line.snapshot ? shortId(line.snapshot.id) : line.commit.slice(0, 12)
  const named = line.refs.filter((ref) => !ref.startsWith('refs/env/'))
  const refs = named.length > 0 ? ` (${named.map(refName).join(', ')})` : ''
  const state = line.snapshot ? `  ${stateText(line.snapshot)}` : ''
  return `${id}  ${formatTime(line.committedAt)}  ${printable(line.subject)}${refs}${state}`
}

function refName(ref: string): string {
  return printable(ref.replace(/^refs\/(heads|remotes)\//, '').replace(/^refs\/tags\//, 'tag: '))
}

function snapshotRow(line: SnapshotLine, all: boolean): string[] {
  const row = [
    shortId(line.id),
    formatTime(line.createdAt),
    line.name ? `${line.message} [${line.name}]` : line.message,
  ]
  return [...row, ...(all ? [line.environment, line.trigger] : []), stateText(line)]
}

function stateText(line: SnapshotLine): string {
  const partial = line.partial ? 'partial, ' : ''
  if (line.state !== 'here') return `${partial}${line.state === 'expired' ? 'expired' : 'data not here'}`
  return line.expiresAt ? `${partial}until ${formatDay(line.expiresAt)}` : `${partial}here`
}

const examples = `
Examples:
  git env log -n 20
  git env log --graph
  git env log --snapshots --all`
