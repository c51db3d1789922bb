import * as v from 'valibot'
import { isMap, isScalar, LineCounter, parseDocument } from 'yaml'
import type { Json } from './canonical-json.ts'
import { configFileName } from './config-file.ts'
import { EnvError } from './errors.ts'

const defaultRetentionDays = 14
/** An index of a large shop takes its time. */
const defaultRebuildSeconds = 3600

/** One service or mount as configured; `settings` are what its driver's schema gave. */
export type ServiceConfig = {
  readonly name: string
  readonly kind: 'service' | 'mount'
  readonly type: string
  readonly settings: Readonly<Record<string, Json>>
}

/** A service that is not stored: a command builds it again after a restore, from what was restored. */
type Rebuild = {
  readonly name: string
  /** Only a word for people: it needs no driver. */
  readonly type: string
  readonly command: readonly string[]
  readonly limitSeconds: number
}

/** What `.git-env.yaml` says. Services and mounts share one space of names, ordered by name. */
export type Config = {
  readonly services: readonly ServiceConfig[]
  /** Ordered by name. */
  readonly rebuilds: readonly Rebuild[]
  /** By branch and service: names of data that do not follow the pattern with `{env}`. */
  readonly names: Readonly<Record<string, Readonly<Record<string, string>>>>
  readonly hooks: Hooks
  readonly retentionDays: number
  /** Folder of the store; undefined: the default in the Git common dir. */
  readonly store: string | undefined
}

/** Commands of the project's own, as argument lists. They run in the work tree's top folder, and only after `git env allow`. */
export type Hooks = {
  /** Before writers are held for a snapshot: what makes the application itself pause. */
  readonly freeze?: readonly string[]
  /** After it, always, also when git-env is killed in between. */
  readonly thaw?: readonly string[]
  /** After data was restored, undone or redone: caches to flush, workers to start again. */
  readonly 'after-restore'?: readonly string[]
}

/** Gives the schema of a driver's settings; throws `usage` for a type that is not known. */
export type SchemaOf = (type: string) => Promise<v.GenericSchema>

const namePattern = /^[a-z][a-z0-9_-]{0,40}$/
const name = v.pipe(
  v.string(),
  v.regex(namePattern, 'a name is 1 to 41 characters: a lower-case letter, then letters, digits, - or _'),
)

const command = v.pipe(
  v.array(
    v.string('a command is a list of words, such as [bin/cache, flush]'),
    'a command is a list of words, such as [bin/cache, flush]',
  ),
  v.minLength(1, 'a command has at least one word'),
)

/** Of a service that is rebuilt; what else is said of it (a url, say) is for people and for the day when it is stored. */
const rebuildKeys = v.looseObject({
  rebuild: command,
  limit: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1)), defaultRebuildSeconds),
})

const root = v.strictObject({
  services: v.optional(v.nullable(v.record(name, v.looseObject({ type: v.string('a service needs a `type`') })))),
  mounts: v.optional(
    v.nullable(v.record(name, v.union([v.string(), v.looseObject({})], 'a mount is a path, or has a `path`'))),
  ),
  env: v.optional(v.nullable(v.record(v.string(), v.record(name, v.pipe(v.string(), v.minLength(1)))))),
  hooks: v.optional(
    v.strictObject({ freeze: v.optional(command), thaw: v.optional(command), 'after-restore': v.optional(command) }),
  ),
  retention: v.optional(
    v.strictObject({ days: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(36500))) }),
  ),
  store: v.optional(v.pipe(v.string(), v.minLength(1))),
})

/**
 * Reads the text of a configuration. Every error is `usage` and names file, line and column.
 * Without `schemaOf` the settings of services stay unread: enough for commands that touch none of them, and faster.
 */
export async function parseConfig(
  text: string,
  schemaOf: SchemaOf | undefined,
  fileName = configFileName,
): Promise<Config> {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false })
  const problem = document.errors[0]
  if (problem) throw at(lines, problem.pos[0], problem.message, fileName)

  const fail = (issues: readonly [v.BaseIssue<unknown>, ...v.BaseIssue<unknown>[]], prefix: readonly unknown[]) => {
    // A misspelt key also makes the right one missing: the misspelling is what to name.
    const issue = issues.find(isUnknownKey) ?? issues[0]
    const path = [...prefix, ...(issue.path ?? []).map((item) => item.key)]
    throw at(lines, offsetOf(document.contents, path), describe(issue, path), fileName)
  }
  const parsed = v.safeParse(root, document.toJS({ maxAliasCount: 100 }) ?? {})
  if (!parsed.success) return fail(parsed.issues, [])

  const services: ServiceConfig[] = []
  const rebuilds: Rebuild[] = []
  const add = async (kind: 'service' | 'mount', key: string, type: string, settings: Record<string, unknown>) => {
    const path = [kind === 'service' ? 'services' : 'mounts', key]
    if ([...services, ...rebuilds].some((service) => service.name === key)) {
      throw at(lines, offsetOf(document.contents, path), `the name ${key} is taken by a service`, fileName)
    }
    if (!schemaOf) {
      services.push({ name: key, kind, type, settings: settings as Record<string, Json> })
      return
    }
    const schema = await schemaOf(type).catch((error: Error) => {
      throw at(lines, offsetOf(document.contents, [...path, 'type']), error.message, fileName)
    })
    const checked = v.safeParse(schema, settings)
    if (!checked.success) return fail(checked.issues, path)
    services.push({ name: key, kind, type, settings: checked.output as Record<string, Json> })
  }
  for (const [key, { type, ...settings }] of Object.entries(parsed.output.services ?? {})) {
    if (!('rebuild' in settings)) {
      await add('service', key, type, settings)
      continue
    }
    const checked = v.safeParse(rebuildKeys, settings)
    if (!checked.success) return fail(checked.issues, ['services', key])
    rebuilds.push({ name: key, type, command: checked.output.rebuild, limitSeconds: checked.output.limit })
  }
  for (const [key, mount] of Object.entries(parsed.output.mounts ?? {})) {
    await add('mount', key, 'files', typeof mount === 'string' ? { path: mount } : mount)
  }
  const names = parsed.output.env ?? {}
  for (const [branch, given] of Object.entries(names)) {
    const known = [...services, ...rebuilds]
    const unknown = Object.keys(given).find((key) => !known.some((service) => service.name === key))
    if (unknown === undefined) continue
    const offset = offsetOf(document.contents, ['env', branch, unknown])
    throw at(lines, offset, `env.${branch}.${unknown}: there is no service of this name`, fileName)
  }
  return {
    services: services.sort((a, b) => (a.name < b.name ? -1 : 1)),
    rebuilds: rebuilds.sort((a, b) => (a.name < b.name ? -1 : 1)),
    names,
    hooks: (parsed.output.hooks ?? {}) as Hooks,
    retentionDays: parsed.output.retention?.days ?? defaultRetentionDays,
    store: parsed.output.store,
  }
}

function isUnknownKey(issue: v.BaseIssue<unknown>): boolean {
  return issue.type === 'strict_object' && issue.expected === 'never'
}

function describe(issue: v.BaseIssue<unknown>, path: readonly unknown[]): string {
  const where = path.join('.')
  if (isUnknownKey(issue)) return `unknown key ${where}`
  if (issue.type === 'strict_object' || (issue.type === 'loose_object' && issue.received === 'undefined')) {
    return `${where} is missing`
  }
  return `${where}: ${issue.message.charAt(0).toLowerCase()}${issue.message.slice(1)}`
}

/** Where in the text the node at a path begins; for what is not there, the nearest node around it. */
function offsetOf(contents: unknown, path: readonly unknown[]): number {
  let node = contents
  let offset = 0
  for (const key of path) {
    if (!isMap(node)) break
    const pair = node.items.find((item) => isScalar(item.key) && String(item.key.value) === String(key))
    if (!pair) break
    offset = isScalar(pair.key) ? (pair.key.range?.[0] ?? offset) : offset
    node = pair.value
  }
  return offset
}

function at(lines: LineCounter, offset: number, message: string, fileName: string): EnvError {
  const { line, col } = lines.linePos(offset)
  return new EnvError('usage', `${fileName}:${line}:${col}: ${message}`, { details: { line, column: col } })
}
