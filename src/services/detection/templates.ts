import type { Value } from './found.ts'

/** A text in which what is filled in later stands as a mark that YAML and urls leave alone. */
export type Template = { readonly text: string; readonly values: readonly Value[] }

const mark = /__git_env_(\d+)__/g

export function markOf(index: number): string {
  return `__git_env_${index}__`
}

/** What a part of a template stands for. */
export function fill(part: string, values: readonly Value[]): Value {
  const whole = /^__git_env_(\d+)__$/.exec(part)
  if (whole) return values[Number(whole[1])] ?? {}
  let known = true
  const value = part.replace(mark, (_, index: string) => {
    const found = values[Number(index)]?.value
    if (found === undefined) known = false
    return found ?? ''
  })
  return known ? { value } : {}
}

/** How deep defaults may stand in defaults. */
const deepest = 5

export type Lookup = (name: string) => string | undefined

/**
 * Takes `${NAME}`, `${NAME:-default}` and the other forms of a shell out of a text. `bare`: also `$NAME`, and `$$` is a dollar, as in compose files;
 * without, what is no `${NAME}` stays as it is.
 */
export function templateOf(text: string, lookup: Lookup, options: { readonly bare: boolean }): Template {
  const values: Value[] = []
  let result = ''
  let at = 0
  while (at < text.length) {
    const next = text.indexOf('$', at)
    if (next < 0) break
    result += text.slice(at, next)
    const found = reference(text, next, lookup, options.bare, 0)
    if (found === undefined) {
      result += '$'
      at = next + 1
    } else if (found.value === undefined) {
      result += '$'
      at = found.end
    } else {
      result += markOf(values.push(found.value) - 1)
      at = found.end
    }
  }
  return { text: result + text.slice(at), values }
}

/** The same for a text that is one value. */
export function interpolate(text: string, lookup: Lookup, options: { readonly bare: boolean }): Value {
  const { text: marked, values } = templateOf(text, lookup, options)
  return values.length === 0 ? { value: marked } : fill(marked, values)
}

function reference(
  text: string,
  at: number,
  lookup: Lookup,
  bare: boolean,
  depth: number,
): { readonly value: Value | undefined; readonly end: number } | undefined {
  if (bare && text[at + 1] === '$') return { value: undefined, end: at + 2 }
  const rest = text.slice(at, at + 2000)
  const plain = bare ? /^\$([A-Za-z_][A-Za-z0-9_]*)/.exec(rest) : null
  if (plain) return { value: { variable: plain[1], value: lookup(plain[1]!) }, end: at + plain[0].length }
  const braced = /^\$\{([A-Za-z_][A-Za-z0-9_]*)(?:\}|(:?[-?+]))/.exec(rest)
  if (!braced) return undefined
  const [head, name, operator] = braced as unknown as [string, string, string | undefined]
  if (operator === undefined) return { value: { variable: name, value: lookup(name) }, end: at + head.length }
  const end = closing(rest, head.length)
  if (end === undefined || depth > deepest) return undefined
  const inner = rest.slice(head.length, end)
  return { value: withOperator(name, operator, inner, lookup, bare), end: at + end + 1 }
}

function withOperator(name: string, operator: string, inner: string, lookup: Lookup, bare: boolean): Value {
  const set = lookup(name)
  const counts = set !== undefined && !(operator.startsWith(':') && set === '')
  if (operator.endsWith('+')) return counts ? interpolate(inner, lookup, { bare }) : { value: '' }
  if (counts || operator.endsWith('?')) return { variable: name, value: set }
  return { variable: name, value: interpolate(inner, lookup, { bare }).value }
}

/** Where the brace closes that was opened before `from`. */
function closing(text: string, from: number): number | undefined {
  let open = 1
  for (let at = from; at < text.length; at++) {
    if (text[at] === '{' && text[at - 1] === '$') open++
    if (text[at] === '}' && --open === 0) return at
  }
  return undefined
}
