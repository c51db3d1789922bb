import type { ContentSink } from '../../domain/content.ts'
import { EnvError } from '../../domain/errors.ts'
import type { ServiceRecord } from '../../domain/manifest.ts'
import type { ServiceContext } from '../service-driver.ts'
import { type Definition, definitionAt, definitionIn, findCollections } from './collections.ts'
import { type Stored, storeDocuments } from './documents.ts'
import { lateName } from './names.ts'
import { versionOf } from './probe.ts'
import { recordOf } from './record.ts'
import type { Shell } from './shell.ts'
import type { StagedCollections } from './stage.ts'

type BeforeOptions = {
  readonly shell: Shell
  readonly context: ServiceContext
  readonly staged: StagedCollections
  readonly sink: ContentSink
  readonly safety: ServiceRecord
}

/** What was there at the swap: what was set aside, and what took no part, as it is now. */
export async function recordBefore({ shell, context, staged, sink }: BeforeOptions): Promise<ServiceRecord> {
  const { id, only, parts, goes = [], viewsBefore } = staged
  const reading = { sink, signal: context.signal, progress: () => {} }
  const found = await findCollections(shell)
  const definitions: Definition[] = []
  const stored = new Map<string, Stored>()
  const take = async (physical: string, definition: Definition) => {
    definitions.push(definition)
    stored.set(definition.name, await storeDocuments(shell.server, physical, reading))
  }
  const views = viewsBefore?.map(definitionIn) ?? [...found.views.values()]
  for (const name of new Set([...goes, ...parts, ...views].map((each) => each.name))) {
    const aside = goes.flatMap((each) => (each.name === name && found.ours.has(each.aside) ? [each.aside] : []))
    const late = [...found.ours.keys()].filter((each) => each.startsWith(lateName(id, name)))
    if (aside.length === 0 && goes.some((each) => each.name === name)) throw lost(context.name, name)
    const [first, ...more] = [...aside, ...late]
    if (first === undefined) continue
    for (const each of more) await addTo(shell, first, each)
    await take(first, (await definitionAt(shell, first, name))!)
  }
  for (const [name, { definition }] of found.live) {
    if (only !== null && !only.includes(name)) await take(name, definition)
  }
  return recordOf(context.name, [...definitions, ...views], stored, { sink, version: await versionOf(shell) })
}

/** What a writer put into a collection that it made within the swap belongs to what had that name; the later word holds. */
async function addTo(shell: Shell, first: string, late: string): Promise<void> {
  const merge = { into: first, whenMatched: 'replace', whenNotMatched: 'insert' }
  await shell.command({ aggregate: late, pipeline: [{ $merge: merge }], cursor: {}, bypassDocumentValidation: true })
}

function lost(service: string, name: string): EnvError {
  return new EnvError('damaged', `${service}: what was set aside of ${name} is gone`)
}
