import { formatBytes, formatCount, plural } from '../domain/format-text.ts'
import type { Difference, DiffResult } from '../usecases/diff.ts'
import { columns } from './context.ts'
import type { Output } from './output.ts'

const signs = { added: '+', changed: '~', removed: '-' } as const

/** Prints at most so many lines a service, and its totals. */
export function printDifferences(output: Output, result: DiffResult, options: { readonly lines: number }): void {
  const services = Map.groupBy(result.differences, (difference) => difference.service)
  for (const [service, differences] of services) {
    output.line(`${service}: ${totals(differences)}`)
    const shown = differences.slice(0, options.lines)
    for (const row of columns(
      shown.map((each) => [`${signs[each.change]} ${each.kind === 'schema' ? 'the schema' : each.name}`, amount(each)]),
    ))
      output.line(row)
    const more = differences.length - shown.length
    if (more > 0 && options.lines > 0) output.line(`  … and ${formatCount(more)} more; --all shows them`)
  }
  if (services.size === 0) output.line('data: no difference')
  const { code } = result
  const committed = code && countChanges(code.added, code.changed, code.removed, 'file')
  const uncommitted = result.uncommitted ? `${plural(result.uncommitted, 'uncommitted file')}` : ''
  if (code) output.line(`code: ${[committed, uncommitted].filter(Boolean).join('; ') || 'no difference'}`)
}

function totals(differences: readonly Difference[]): string {
  const kinds = Map.groupBy(differences, (difference) => difference.kind)
  return [...kinds]
    .map(([kind, each]) => {
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
    .map(([count, verb], i) => (i === 0 ? `${plural(count, kind)} ${verb}` : `${formatCount(count)} ${verb}`))
    .join(', ')
}

function amount({ kind, before, after }: Difference): string {
  if (kind !== 'table' && kind !== 'file') return ''
  const text = (value: number) => (kind === 'table' ? plural(value, 'row') : formatBytes(value))
  if (before !== undefined && after !== undefined)
    return before === after ? `${text(after)}, contents differ` : `${text(before)} → ${text(after)}`
  const value = after ?? before
  return value === undefined ? '' : text(value)
}
