/** What JSON can say. A number that a double would change is kept as the text that it is, see `parseExact`. */
export type Exact = null | boolean | number | string | readonly Exact[] | { readonly [key: string]: Exact | undefined }

export type ExactObject = { readonly [key: string]: Exact | undefined }

/** Newer than the types that TypeScript has of `JSON`. */
type Source = { readonly source?: string }
const { parse, rawJSON, isRawJSON } = JSON as unknown as {
  parse(text: string, reviver: (key: string, value: unknown, context: Source) => unknown): Exact
  rawJSON(text: string): Exact
  isRawJSON(value: unknown): boolean
}

/** Reads JSON so that writing it again changes no number: `1.0` and integers of 20 digits stay what they are. */
export function parseExact(text: string): Exact {
  return parse(text, (_key, value, { source }) =>
    typeof value === 'number' && source !== undefined && String(value) !== source ? rawJSON(source) : value,
  )
}

/** JSON with the keys of objects in code-unit order: equal definitions give equal texts, in whatever order a server tells them. */
export function stableText(value: Exact): string {
  if (value === null || typeof value !== 'object' || isRawJSON(value)) return JSON.stringify(value)
  if (isList(value)) return `[${value.map(stableText).join(',')}]`
  const pairs = Object.keys(value)
    .filter((key) => value[key] !== undefined)
    .sort()
    .map((key) => `${JSON.stringify(key)}:${stableText(value[key]!)}`)
  return `{${pairs.join(',')}}`
}

export function asObject(value: Exact | undefined): ExactObject {
  return value !== null && typeof value === 'object' && !isList(value) && !isRawJSON(value) ? value : {}
}

/** The value at a path of keys. */
export function at(value: Exact | undefined, ...keys: readonly string[]): Exact | undefined {
  return keys.reduce<Exact | undefined>((inner, key) => asObject(inner)[key], value)
}

export function isList(value: Exact | undefined): value is readonly Exact[] {
  return Array.isArray(value)
}

/** Without the value at a path of keys, and without objects that are empty then. */
export function without(value: ExactObject, [key, ...rest]: readonly string[]): ExactObject {
  if (key === undefined || value[key] === undefined) return value
  const { [key]: inner, ...others } = value
  if (rest.length === 0) return others
  const left = without(asObject(inner), rest)
  return Object.keys(left).length === 0 ? others : { ...others, [key]: left }
}
