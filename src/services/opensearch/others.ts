import type { Client } from './client.ts'
import { asObject, at, type Exact, type ExactObject, isList, stableText, without } from './exact-json.ts'
import { byName } from './names.ts'
import type { Patterns } from './patterns.ts'

type Named = { readonly name: string; readonly body: ExactObject }

/** What belongs to the project besides indices. */
export type Others = {
  readonly componentTemplates: readonly Named[]
  readonly indexTemplates: readonly Named[]
  readonly pipelines: readonly Named[]
}

/** When the server made or changed it: of no use elsewhere. */
const dates = ['created_date', 'created_date_millis', 'modified_date', 'modified_date_millis']

export async function findOthers(client: Client): Promise<Others> {
  const { templates, pipelines } = client.server
  const listed = async (path: string, key: string, member: string) => {
    const found = new Map<string, Named>()
    for (const text of templates.texts) {
      const answer = await client.send('GET', `${path}/${encodeURIComponent(text)}`, { also: [404] })
      if (answer.status === 404) continue
      const list = at(client.parse(answer.body), key)
      for (const each of isList(list) ? list : []) add(found, templates, String(at(each, 'name')), at(each, member))
    }
    return [...found.values()].sort(byName)
  }
  const lines = new Map<string, Named>()
  for (const text of pipelines.texts) {
    const answer = await client.send('GET', `/_ingest/pipeline/${encodeURIComponent(text)}`, { also: [404] })
    if (answer.status === 404) continue
    for (const [name, body] of Object.entries(asObject(client.parse(answer.body)))) add(lines, pipelines, name, body)
  }
  return {
    componentTemplates: await listed('/_component_template', 'component_templates', 'component_template'),
    indexTemplates: await listed('/_index_template', 'index_templates', 'index_template'),
    pipelines: [...lines.values()].sort(byName),
  }
}

function add(found: Map<string, Named>, patterns: Patterns, name: string, told: Exact | undefined): void {
  if (!patterns.matches(name)) return
  let body = asObject(told)
  for (const date of dates) body = without(body, [date])
  found.set(name, { name, body })
}

export function othersText(others: Others): string {
  return stableText(others as unknown as ExactObject)
}

const places = [
  ['pipelines', '/_ingest/pipeline'],
  ['componentTemplates', '/_component_template'],
  ['indexTemplates', '/_index_template'],
] as const

/** Makes them what they should be. What others need comes first and goes last; what is right already is not touched. */
export async function setOthers(client: Client, wanted: Others): Promise<void> {
  const there = await findOthers(client)
  for (const [key, path] of places) {
    for (const { name, body } of wanted[key]) {
      const same = there[key].find((each) => each.name === name)
      if (same && stableText(same.body) === stableText(body)) continue
      await client.send('PUT', `${path}/${encodeURIComponent(name)}`, { body })
    }
  }
  for (const [key, path] of places.toReversed()) {
    for (const { name } of there[key]) {
      if (wanted[key].some((each) => each.name === name)) continue
      await client.send('DELETE', `${path}/${encodeURIComponent(name)}`, { also: [404] })
    }
  }
}

export const noOthers: Others = { componentTemplates: [], indexTemplates: [], pipelines: [] }

/**
 * What was there before a swap that was cut short: what is as it should be by now was made so by that swap, and was what its last capture found; what
 * is different is as people have it.
 */
export function beforeSwap(earlier: Others, now: Others, target: Others): Others {
  const merge = (key: keyof Others): Named[] => {
    const [then, is, will] = [earlier, now, target].map(
      (others) => new Map(others[key].map((each) => [each.name, each])),
    )
    return [...new Set([...then!.keys(), ...is!.keys()])].sort().flatMap((name) => {
      const [present, wanted] = [is!.get(name), will!.get(name)]
      const isDone = present && wanted ? stableText(present.body) === stableText(wanted.body) : !present && !wanted
      return (isDone ? then!.get(name) : present) ?? []
    })
  }
  return {
    componentTemplates: merge('componentTemplates'),
    indexTemplates: merge('indexTemplates'),
    pipelines: merge('pipelines'),
  }
}
