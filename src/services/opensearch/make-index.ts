import { EnvError } from '../../domain/errors.ts'
import type { Client } from './client.ts'
import type { IndexDefinition } from './definitions.ts'
import { asObject, at, type Exact, type ExactObject, stableText } from './exact-json.ts'
import { dropIndex } from './indices.ts'

/** Settings that would change what is loaded, or do something to it meanwhile: given last. */
const late = ['blocks', 'default_pipeline', 'final_pipeline', 'lifecycle'] as const

/** Makes an empty index beside the live ones. Its uuid is given back. */
export async function makeIndex(client: Client, physical: string, definition: IndexDefinition): Promise<string> {
  const settings = Object.fromEntries(Object.entries(definition.settings).filter(([key]) => !isLate(key)))
  await client.send('PUT', `/${encodeURIComponent(physical)}`, {
    body: { settings: { index: settings }, mappings: definition.mappings },
  })
  const { aliases, mappings, uuid } = await readIndex(client, physical)
  const changed =
    Object.keys(aliases).length > 0
      ? `gives it the alias ${Object.keys(aliases)[0]}`
      : stableText(mappings) === stableText(definition.mappings)
        ? undefined
        : 'changes its mapping'
  if (changed === undefined) return uuid
  await dropIndex(client, physical)
  throw new EnvError(
    'refused',
    `${client.server.name}: ${definition.name} cannot be made as it was: a template ${changed}`,
    {
      hint: 'nothing was changed; let no template of the server match git-env-*',
    },
  )
}

/** Gives the last settings, and looks whether the server has taken all of them. */
export async function finishIndex(client: Client, physical: string, definition: IndexDefinition): Promise<void> {
  const settings = Object.fromEntries(Object.entries(definition.settings).filter(([key]) => isLate(key)))
  const path = `/${encodeURIComponent(physical)}`
  if (Object.keys(settings).length > 0) await client.send('PUT', `${path}/_settings`, { body: { index: settings } })
  const made = flat((await readIndex(client, physical)).settings)
  for (const [key, value] of flat(definition.settings)) {
    if (made.get(key) === value) continue
    throw new EnvError(
      'refused',
      `${client.server.name}: ${definition.name}: the server does not take the setting ${key}`,
      {
        hint: 'nothing was changed; was the snapshot taken from another version or product?',
      },
    )
  }
}

function isLate(key: string): boolean {
  return (late as readonly string[]).includes(key)
}

async function readIndex(client: Client, physical: string) {
  const told = at(await client.json('GET', `/${encodeURIComponent(physical)}`), physical)
  return {
    aliases: asObject(at(told, 'aliases')),
    mappings: asObject(at(told, 'mappings')),
    settings: asObject(at(told, 'settings', 'index')),
    uuid: String(at(told, 'settings', 'index', 'uuid')),
  }
}

function flat(settings: ExactObject, prefix = ''): Map<string, string> {
  const values = new Map<string, string>()
  for (const [key, value] of Object.entries(settings)) {
    const inner = asObject(value)
    if (Object.keys(inner).length === 0) values.set(prefix + key, stableText(value as Exact))
    else for (const [name, text] of flat(inner, `${prefix}${key}.`)) values.set(name, text)
  }
  return values
}
