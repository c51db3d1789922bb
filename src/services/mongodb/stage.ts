import { EnvError } from '../../domain/errors.ts'
import type { ServiceRecord } from '../../domain/manifest.ts'
import type { Staged } from '../../domain/swap.ts'
import type { ServiceContext, StageOptions } from '../service-driver.ts'
import { create, createIndexes, type Definition, definitionAt, drop, findCollections, textOf } from './collections.ts'
import { digestDocuments, loadDocuments } from './documents.ts'
import { isOf, nameOf } from './names.ts'
import { refuseCluster } from './probe.ts'
import { loadDefinitions, storedOf } from './record.ts'
import type { Shell } from './shell.ts'

/** What the journal keeps of a restore. Definitions are kept as texts. */
export type StagedCollections = {
  readonly way: 'rename'
  readonly warnings: readonly string[]
  readonly id: string
  /** Only these collections; null for all, and the views. */
  readonly only: readonly string[] | null
  readonly parts: readonly Part[]
  /** Views as they shall be; null where they are not touched. */
  readonly views: readonly string[] | null
  /** What the last captures found to be set aside, in that order: its position is in the name that it gets. */
  readonly goes?: readonly Goes[]
  readonly viewsBefore?: readonly string[]
}

/** A collection that was made and filled, and shall come to its name. */
export type Part = { readonly name: string; readonly staged: string; readonly uuid: string }

export type Goes = { readonly name: string; readonly aside: string; readonly uuid: string }

export function fromStaged(staged: Staged): StagedCollections {
  return staged as unknown as StagedCollections
}

export function asStaged(staged: StagedCollections): Staged {
  return staged as unknown as Staged
}

/**
 * Makes every collection beside the live ones, fills it and reads it back. Also those that are as they should be: without a hold nothing would tell
 * whether one was written to before the swap.
 */
export async function stageCollections(
  shell: Shell,
  context: ServiceContext,
  target: ServiceRecord,
  { source, id, only, progress }: StageOptions,
): Promise<StagedCollections> {
  await refuseCluster(shell)
  const wanted = await loadDefinitions(source, target)
  const isMeant = ({ type, name }: Definition) => type === 'collection' && (only === undefined || only.includes(name))
  const made: Omit<Part, 'uuid'>[] = []
  const warnings: string[] = []
  for (const [i, definition] of wanted.filter(isMeant).entries()) {
    const { name } = definition
    const staged = nameOf(id, 'new', i)
    await drop(shell, staged)
    await create(shell, staged, definition)
    context.trace(`${context.name}: ${staged} made`)
    const { content, rows } = storedOf(target, name)
    const isValidated = definition.options['validator'] !== undefined
    const loading = { isValidated, signal: context.signal, progress }
    if (rows > 0) await loadDocuments(shell.server, staged, source.read(content), loading)
    const back = await digestDocuments(shell.server, staged, context.signal)
    if (back.rows !== rows || back.sha256 !== content.sha256) {
      throw new EnvError('damaged', `${context.name}: what was loaded for ${name} is not what the snapshot holds`, {
        hint: 'nothing was changed; was the snapshot taken from another version?',
      })
    }
    await createIndexes(shell, staged, definition)
    context.trace(`${context.name}: ${staged} filled`)
    const told = await definitionAt(shell, staged, name)
    if (told === undefined || textOf(told) !== textOf(definition)) {
      warnings.push(`${name}: this server says other options or indexes of it than the snapshot holds`)
    }
    made.push({ name, staged })
  }
  const { ours } = await findCollections(shell)
  const parts = made.map((each) => ({ ...each, uuid: ours.get(each.staged)! }))
  const views = only === undefined ? wanted.filter(({ type }) => type === 'view').map(textOf) : null
  return { way: 'rename', warnings, id, only: only ?? null, parts, views }
}

/** Drops what was staged and set aside for a restore. */
export async function dropOf(shell: Shell, id: string): Promise<void> {
  const { ours } = await findCollections(shell)
  for (const name of ours.keys()) if (isOf(id, name)) await drop(shell, name)
}
