import { parseEnv } from 'node:util'
import type { FoundService, ReadSource, Texts, Value } from './found.ts'
import { readVariables, type Variables } from './from-variables.ts'
import { interpolate, templateOf } from './templates.ts'

/** Later ones override. */
const files = ['.env', '.env.local']

/** Laravel, Symfony, Bedrock and all others that keep their environment in a file; last, this process's DATABASE_URL. */
export const readDotenv: ReadSource = (texts) => {
  const variables = new DotenvVariables(texts)
  return [...readVariables(variables), ...processUrl(texts, variables)]
}

export type DotenvEntry = { readonly value: string; readonly source: string; readonly isLiteral: boolean }

/** The lines of a `.env` file. */
export function readEnvFile(texts: Texts, file: string): Map<string, DotenvEntry> {
  const text = texts.read(file)
  if (text === undefined) return new Map()
  const lines = new Map<string, { line: number; isLiteral: boolean }>()
  text.split('\n').forEach((line, index) => {
    const [, name, quote] = /^\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*('?)/.exec(line) ?? []
    if (name !== undefined) lines.set(name, { line: index + 1, isLiteral: quote === "'" })
  })
  return new Map(
    Object.entries(parseEnv(text)).flatMap(([name, value]) => {
      const at = lines.get(name)
      return at && value !== undefined
        ? [[name, { value, source: `${file}:${at.line}`, isLiteral: at.isLiteral }] as const]
        : []
    }),
  )
}

class DotenvVariables implements Variables {
  readonly #entries: ReadonlyMap<string, DotenvEntry>

  constructor(texts: Texts) {
    this.#entries = new Map(files.flatMap((file) => [...readEnvFile(texts, file)]))
  }

  names(): Iterable<string> {
    return this.#entries.keys()
  }

  /** The name is its own variable: whoever takes the value keeps using it. */
  get(name: string): Value | undefined {
    const value = this.#resolve(name, 0)
    return this.#entries.has(name) ? { variable: name, value } : undefined
  }

  template(name: string) {
    const entry = this.#entries.get(name)
    if (!entry) return undefined
    if (entry.isLiteral) return { text: entry.value, values: [] }
    return templateOf(entry.value, (other) => this.#resolve(other, 1), { bare: false })
  }

  sourceOf(name: string): string {
    return this.#entries.get(name)!.source
  }

  #resolve(name: string, depth: number): string | undefined {
    const entry = this.#entries.get(name)
    if (!entry || entry.isLiteral || depth > 5 || !entry.value.includes('${')) return entry?.value
    return interpolate(entry.value, (other) => this.#resolve(other, depth + 1), { bare: false }).value
  }
}

/** A url that only this process's environment holds stays there: the configuration names the variable. */
function processUrl(texts: Texts, variables: Variables): FoundService[] {
  if (variables.get('DATABASE_URL')) return []
  const found = readVariables({
    names: () => ['DATABASE_URL'],
    get: () => undefined,
    template: (name) => {
      const text = texts.variable(name)
      // Parameters are a framework's own, and no driver would know them.
      return text === undefined || text.includes('?') ? undefined : { text, values: [] }
    },
    sourceOf: () => 'the environment',
  })
  return found.map((service) => ({ ...service, urlVariable: 'DATABASE_URL' }))
}
