import { formatBytes, formatCount, plural } from '../domain/format-text.ts'
import { counted } from '../domain/record-summary.ts'
import type { Difference, DiffResult } from '../usecases/diff.ts'
import { columns } from './context.ts'
import type { Output } from './output.ts'

const signs = { added: '+', changed: '~', removed: '-' } as const

/** Prints at most so many lines a service, and its totals. */
export function printDifferences(output: Output, result: DiffResult, options: { readonly lines: number }): void {
  const services = Map.groupBy(result.differences, (difference) => difference.service)
  for (const [service, differences] of services) {
    output.line(`${service}: ${totals(differences)}`)
    const rows = options.lines === Number.POSITIVE_INFINITY ? differences.map(rowOf) : foldFolders(differences)
    for (const row of columns(rows.slice(0, options.lines))) output.line(row)
    const more = rows.length - options.lines
    if (more > 0 && options.lines > 0) output.line(`  … and ${formatCount(more)} more; --all shows them`)
  }
  if (services.size === 0) output.line('data: no difference')
  const { code } = result
  const committed = code && countChanges(code.added, code.changed, code.removed, 'file')
  const uncommitted = result.uncommitted ? `${plural(result.uncommitted, 'uncommitted file')}` : ''
  if (code) output.line(`code: ${[committed, uncommitted].filter(Boolean).join('; ') || 'no difference'}`)
}

/** Kinds of which a service has one. */
const wholes: Readonly<Record<string, string>> = { schema: 'the schema', definitions: 'the definitions' }

type Row = readonly [name: string, amount: string]

function rowOf(each: Difference): Row {
  return [`${signs[each.change]} ${wholes[each.kind] ?? each.name}`, amount(each)]
}

/** A folder that came or went whole is one row that counts what is in it. */
function foldFolders(differences: readonly Difference[]): Row[] {
  const rows: Row[] = []
  for (let i = 0; i < differences.length; i++) {
    const folder = differences[i]!
    const inside: Difference[] = []
    if (folder.kind === 'folder' && folder.change !== 'changed') {
      while (differences[i + 1]?.name.startsWith(`${folder.name}/`)) inside.push(differences[++i]!)
    }
    rows.push(inside.length === 0 ? rowOf(folder) : [`${signs[folder.change]} ${folder.name}/`, contents(inside)])
  }
  return rows
}

function contents(inside: readonly Difference[]): string {
  const files = inside.filter(({ kind }) => kind !== 'folder')
  const bytes = files.reduce((sum, { before, after }) => sum + (after ?? before ?? 0), 0)
  return `${plural(files.length, 'file')}, ${formatBytes(bytes)}`
}

function totals(differences: readonly Difference[]): string {
  const kinds = Map.groupBy(differences, (difference) => difference.kind)
  return [...kinds]
    .sort(([a], [b]) => Number(a in wholes) - Number(b in wholes))
    .map(([kind, each]) => {
      if (kind in wholes) return `${wholes[kind]} changed`
      const count = (change: Difference['change']) => each.filter((difference) => difference.change === change).length
      return countChanges(count('added'), count('changed'), count('removed'), kind)
    })
    .join('; ')
}

function countChanges(added: number, changed: number, removed: number, kind: string): string {
  const parts = [
    [added, 'added'],
    [changed, 'changed'],
    [removed, 'removed'],
  ] as const
  return parts
    .filter(([count]) => count > 0)
    .map(([count, verb], i) => (i === 0 ? `${countOf(count, kind)} ${verb}` : `${formatCount(count)} ${verb}`))
    .join(', ')
}

function countOf(count: number, kind: string): string {
  const names = counted[kind]?.[0]
  return names ? plural(count, ...names) : plural(count, kind)
}

function amount({ kind, before, after }: Difference): string {
  const rows = counted[kind]?.[1]
  if (rows === undefined && kind !== 'file') return ''
  const text = (value: number) => (rows === undefined ? formatBytes(value) : plural(value, rows))
  if (before !== undefined && after !== undefined)
    return before === after ? `${text(after)}, contents differ` : `${text(before)} → ${text(after)}`
  const value = after ?? before
  return value === undefined ? '' : text(value)
}
