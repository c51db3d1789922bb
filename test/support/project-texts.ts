import { parseEnv } from 'node:util'
import { proposeFrom } from '../../src/services/detection/find-services.ts'
import type { Texts } from '../../src/services/detection/found.ts'
import { configText } from '../../src/usecases/config-text.ts'
import { variableLine } from '../../src/usecases/local-variables.ts'

/** A project in memory: files by path. */
export function textsOf(
  files: Readonly<Record<string, string>>,
  environment: Readonly<Record<string, string>> = {},
): Texts & { readonly notes: string[] } {
  const env = parseEnv(files['.env'] ?? '')
  const notes: string[] = []
  return {
    name: 'shop',
    notes,
    read: (file) => files[file.replace(/^\.\//, '')],
    list: (folder) => {
      const inside = Object.keys(files).filter((file) => file.startsWith(`${folder}/`))
      return [...new Set(inside.map((file) => file.slice(folder.length + 1).split('/')[0]!))].sort()
    },
    variable: (name) => env[name] ?? environment[name],
    note: (text) => notes.push(text),
  }
}

/** All that `git env init` would make of a project's files: the configuration, the local file, and what is not in it. */
export function proposalFor(
  files: Readonly<Record<string, string>>,
  environment: Readonly<Record<string, string>> = {},
): string {
  const texts = textsOf(files, environment)
  const env = parseEnv(files['.env'] ?? '')
  const proposals = proposeFrom(texts, (name) => name in env)
  const found = proposals.flatMap(({ type, detected }) =>
    detected ? [{ ...detected, type: type as string, kind: 'service' as const }] : [],
  )
  const config = configText(found)
    .replace(/^#.*\n/gm, '')
    .replace(/mounts:[\s\S]*$/, '')
    .trim()
  const local = found.flatMap(({ secrets }) =>
    Object.entries(secrets ?? {}).map(([name, value]) => variableLine(name, value)?.trimEnd() ?? `${name}: left out`),
  )
  const lacking = proposals.flatMap(({ name, type, source, lacks }) =>
    lacks === undefined ? [] : [`not in it: ${name} (${type}, ${source}): ${lacks}`],
  )
  return [config, ...local, ...lacking, ...texts.notes.map((note) => `passed over: ${note}`)].join('\n')
}
