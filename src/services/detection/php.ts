import type { Value } from './found.ts'
import type { Lookup } from './templates.ts'

type Token = {
  readonly kind: 'text' | 'unknown' | 'name' | 'variable' | 'number' | 'mark'
  readonly text: string
  readonly line: number
}

/** What an expression of literals stands for. `unknown`: only the running program could tell. */
export type PhpValue =
  | { readonly kind: 'text'; readonly value: Value; readonly line: number }
  | { readonly kind: 'array'; readonly entries: ReadonlyMap<string, PhpValue>; readonly line: number }
  | { readonly kind: 'unknown'; readonly line: number }

const deepest = 40

/** The words of a PHP program. Nothing of it is run; what is not understood is passed over. */
function tokens(source: string): Token[] {
  const found: Token[] = []
  let line = 1
  let at = 0
  let lineEnd = source.indexOf('\n')
  const advance = (to: number) => {
    for (; lineEnd >= 0 && lineEnd < to; lineEnd = source.indexOf('\n', lineEnd + 1)) line++
    at = to
  }
  const match = (pattern: RegExp) => {
    pattern.lastIndex = at
    return pattern.exec(source)
  }
  const openTag = () => {
    const open = source.slice(at).search(/<\?(?:php\b|=)/i)
    if (open < 0) return false
    advance(at + open + 2)
    advance(at + (match(/php|=/iy)?.[0].length ?? 0))
    return true
  }
  if (!openTag()) return []
  while (at < source.length) {
    const space = match(/\s+|(?:\/\/|#(?!\[))[^\n?]*/y)
    if (space) {
      advance(at + space[0].length)
      // A comment ends with its line, or where the program does.
      while (/^(?:\/\/|#)/.test(space[0]) && source[at] === '?' && source[at + 1] !== '>') {
        advance(at + (match(/\?[^\n?]*/y)?.[0].length ?? 1))
      }
      continue
    }
    if (source.startsWith('?>', at)) {
      if (!openTag()) break
      continue
    }
    if (source.startsWith('/*', at)) {
      const end = source.indexOf('*/', at + 2)
      if (end < 0) break
      advance(end + 2)
      continue
    }
    if (source.startsWith('<<<', at)) {
      const head = match(/<<<[ \t]*(['"]?)([A-Za-z_]\w*)\1\r?\n/y)
      const end = head && source.slice(at + head[0].length).search(new RegExp(`^[ \\t]*${head[2]}\\b`, 'm'))
      if (!head || end === null || end < 0) break
      found.push({ kind: 'unknown', text: '', line })
      advance(at + head[0].length + end)
      advance(at + (match(/[ \t]*\w+/y)?.[0].length ?? 0))
      continue
    }
    const quote = source[at]!
    if (quote === "'" || quote === '"' || quote === '`') {
      const string = match(strings[quote])
      // No end of it: what follows is inside a string.
      if (!string) break
      const text = quote === "'" ? singleQuoted(string[1]!) : quote === '"' ? doubleQuoted(string[1]!) : undefined
      found.push(text === undefined ? { kind: 'unknown', text: '', line } : { kind: 'text', text, line })
      advance(at + string[0].length)
      continue
    }
    const word = match(/(\$[A-Za-z_]\w*)|([A-Za-z_\\][\w\\]*)|(\d[\w.]*)|=>|===?|\?\?=?|\?:|->|::|\|\||&&|[\s\S]/y)!
    const kind = word[1] ? 'variable' : word[2] ? 'name' : word[3] ? 'number' : 'mark'
    found.push({ kind, text: word[0], line })
    advance(at + word[0].length)
  }
  return found
}

const strings = {
  "'": /'([^'\\]*(?:\\[\s\S][^'\\]*)*)'/y,
  '"': /"([^"\\]*(?:\\[\s\S][^"\\]*)*)"/y,
  '`': /`([^`\\]*(?:\\[\s\S][^`\\]*)*)`/y,
} as const

function singleQuoted(text: string): string {
  return text.replace(/\\([\\'])/g, '$1')
}

const escapes: Readonly<Record<string, string>> = {
  n: '\n',
  t: '\t',
  r: '\r',
  v: '\v',
  f: '\f',
  e: '\x1b',
  '\\': '\\',
  $: '$',
  '"': '"',
}

/** undefined when variables are filled in, or bytes that are no text. */
function doubleQuoted(text: string): string | undefined {
  let known = true
  const value = text.replace(
    /\\(?:([ntrvfe\\$"])|([0-7]{1,3})|x([0-9A-Fa-f]{1,2})|u\{([0-9A-Fa-f]{1,6})\})|(\$(?=[A-Za-z_{])|\{\$)/g,
    (whole, letter?: string, octal?: string, hex?: string, point?: string, filledIn?: string) => {
      if (filledIn !== undefined) known = false
      if (letter !== undefined) return escapes[letter]!
      const code = Number.parseInt(octal ?? hex ?? point ?? '', octal === undefined ? 16 : 8)
      if (Number.isNaN(code)) return whole
      if (code > (point === undefined ? 0x7f : 0x10ffff)) known = false
      return known ? String.fromCodePoint(code) : ''
    },
  )
  return known ? value : undefined
}

/** Functions whose first argument names an environment variable, and whose second is what stands in for it. */
const environmentCalls = new Set(['getenv', 'env', 'getenv_docker'])
const environmentArrays = new Set(['$_ENV', '$_SERVER'])
const casts = new Set(['string', 'int', 'integer', 'bool', 'boolean'])

/** Reads expressions out of tokens. */
export class PhpReader {
  readonly #tokens: readonly Token[]
  readonly #lookup: Lookup
  #at = 0

  constructor(source: string, lookup: Lookup) {
    this.#tokens = tokens(source)
    this.#lookup = lookup
  }

  get #next(): Token | undefined {
    return this.#tokens[this.#at]
  }

  get ended(): boolean {
    return this.#at >= this.#tokens.length
  }

  /** The next token, which is left behind. */
  take(): Token | undefined {
    return this.#tokens[this.#at++]
  }

  /** Whether the next token has this text; then it is left behind. Strings are not looked into. */
  accept(text: string): boolean {
    const next = this.#next
    if (!next || next.kind === 'text' || next.text.toLowerCase() !== text) return false
    this.#at++
    return true
  }

  /** A string, if that is next. */
  acceptText(): string | undefined {
    if (this.#next?.kind !== 'text') return undefined
    return this.take()!.text
  }

  /** The expression that begins here, up to what ends it. */
  value(depth = 0): PhpValue {
    const line = (this.#next ?? this.#tokens.at(-1))?.line ?? 1
    if (depth > deepest) {
      this.#skip()
      return { kind: 'unknown', line }
    }
    let value = this.#primary(depth)
    for (;;) {
      if (this.accept('.')) value = joined(value, this.#primary(depth))
      else if (this.accept('?:') || this.accept('??') || this.accept('||')) {
        value = withDefault(value, this.value(depth + 1))
      } else break
    }
    if (this.#isAtEnd()) return value
    this.#skip()
    return { kind: 'unknown', line }
  }

  #isAtEnd(): boolean {
    const next = this.#next
    return !next || (next.kind === 'mark' && [',', ';', ')', ']', '=>'].includes(next.text))
  }

  /** Goes to the end of an expression that is not understood. */
  #skip(): void {
    let open = 0
    while (!this.ended && (open > 0 || !this.#isAtEnd())) {
      const { kind, text } = this.take()!
      if (kind === 'mark' && '([{'.includes(text)) open++
      if (kind === 'mark' && ')]}'.includes(text)) open--
    }
  }

  #primary(depth: number): PhpValue {
    const token = this.take()
    const line = (token ?? this.#tokens.at(-1))?.line ?? 1
    if (!token) return { kind: 'unknown', line }
    const { kind, text } = token
    if (kind === 'text' || kind === 'number') return { kind: 'text', value: { value: text }, line }
    if (kind === 'mark' && text === '[') return this.#array(']', line, depth)
    if (kind === 'mark' && text === '(') return this.#parenthesis(depth, line)
    const name = text.toLowerCase().replace(/^\\/, '')
    if (kind === 'name' && name === 'array' && this.accept('(')) return this.#array(')', line, depth)
    if (kind === 'name' && environmentCalls.has(name) && this.accept('(')) return this.#environment(')', line, depth)
    if (kind === 'variable' && environmentArrays.has(text) && this.accept('['))
      return this.#environment(']', line, depth)
    if (kind === 'mark' && [',', ';', ')', ']', '=>'].includes(text)) this.#at--
    return { kind: 'unknown', line }
  }

  #parenthesis(depth: number, line: number): PhpValue {
    const cast = this.#next
    if (cast?.kind === 'name' && casts.has(cast.text.toLowerCase()) && this.#tokens[this.#at + 1]?.text === ')') {
      this.#at += 2
      return depth > deepest ? { kind: 'unknown', line } : this.#primary(depth + 1)
    }
    const value = this.value(depth + 1)
    return this.accept(')') ? value : { kind: 'unknown', line }
  }

  #environment(end: string, line: number, depth: number): PhpValue {
    const variable = this.acceptText()
    const otherwise = this.accept(',') ? this.value(depth + 1) : undefined
    if (variable === undefined || !this.accept(end)) return { kind: 'unknown', line }
    const value: PhpValue = { kind: 'text', value: { variable, value: this.#lookup(variable) }, line }
    return otherwise === undefined ? value : withDefault(value, otherwise)
  }

  #array(end: string, line: number, depth: number): PhpValue {
    const entries = new Map<string, PhpValue>()
    for (let count = 0; !this.ended && !this.accept(end); count++) {
      const before = this.#at
      const first = this.value(depth + 1)
      if (this.accept('=>')) {
        const value = this.value(depth + 1)
        if (first.kind === 'text' && first.value.value !== undefined) entries.set(first.value.value, value)
      } else entries.set(String(count), first)
      if (!this.accept(',') && this.#at === before) this.take()
    }
    return { kind: 'array', entries, line }
  }
}

function joined(a: PhpValue, b: PhpValue): PhpValue {
  const [left, right] = [a, b].map((each) => (each.kind === 'text' ? each.value.value : undefined))
  if (left === undefined || right === undefined) return { kind: 'unknown', line: a.line }
  return { kind: 'text', value: { value: left + right }, line: a.line }
}

/** `getenv('X') ?: 'y'`. An empty default is none: it says nothing of what the variable holds. */
function withDefault(value: PhpValue, otherwise: PhpValue): PhpValue {
  if (value.kind !== 'text') return { kind: 'unknown', line: value.line }
  if (value.value.value !== undefined || otherwise.kind !== 'text') return value
  return { ...value, value: { ...value.value, value: otherwise.value.value || undefined } }
}

/** The entry at a path of keys. */
export function entryAt(value: PhpValue | undefined, ...keys: readonly string[]): PhpValue | undefined {
  const [key, ...rest] = keys
  if (key === undefined) return value
  return value?.kind === 'array' ? entryAt(value.entries.get(key), ...rest) : undefined
}

/** What an entry says as a text; `{}` where only the program knows; undefined where it is missing or empty. */
export function valueAt(value: PhpValue | undefined, ...keys: readonly string[]): Value | undefined {
  const found = entryAt(value, ...keys)
  if (found === undefined || found.kind === 'array') return undefined
  if (found.kind === 'unknown') return {}
  return found.value.value === '' && found.value.variable === undefined ? undefined : found.value
}
