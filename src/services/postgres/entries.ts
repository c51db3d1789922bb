/**
 * One definition in pg_dump's text, with what belongs to it (owner, comment and grants have entries of their own).
 * `sql` can run by itself, in the order of the dump.
 */
export type Entry = {
  readonly type: string
  readonly schema: string
  readonly name: string
  readonly sql: string
}

const header = /^-- Name: (.*)$/s
/** What pg_dump says once for all that follow. */
const ambient = /^SET default_(tablespace|table_access_method) = .*;$/

/**
 * Takes pg_dump's text apart. The lines that head an entry are looked for only where SQL has a comment, never inside a literal
 * or the body of a function, whatever those hold.
 */
export function entriesOf(dump: string): { readonly head: string; readonly entries: readonly Entry[] } {
  const text = withoutRestriction(dump).replace(/--\n-- PostgreSQL database dump complete\n--\s*$/, '')
  const starts = headerOffsets(text)
  const head = text.slice(0, starts[0] ?? text.length)
  const settings = new Map<string, string>()
  absorb(head, settings)
  const entries: Entry[] = []
  starts.forEach((start, index) => {
    const part = text.slice(start, starts[index + 1] ?? text.length)
    const [first = '', ...rest] = part.split('\n')
    const prefix = [...settings.values()].filter((line) => !/ = ('';|heap;)$/.test(line))
    const sql = absorb(rest.join('\n').replace(/^--\n/, ''), settings).trim()
    if (sql === '') return
    entries.push({ ...titleOf(first), sql: [...prefix, sql].join('\n') })
  })
  return { head, entries }
}

/** Newer versions guard psql with a random word, which is no part of the definitions. */
function withoutRestriction(text: string): string {
  const word = /^\\restrict (\S+)$/m.exec(text)?.[1]
  if (word === undefined) return text
  return text.replace(`\\restrict ${word}\n`, '').replace(`\\unrestrict ${word}\n`, '')
}

/** Takes the settings at the end of an entry away: they are for those that follow. */
function absorb(text: string, settings: Map<string, string>): string {
  const lines = text.split('\n')
  const said = new Map<string, string>()
  while (/^(--)?$/.test(lines.at(-1) ?? 'x') || ambient.test(lines.at(-1) ?? 'x')) {
    const line = lines.pop()!
    const name = ambient.exec(line)?.[1]
    if (name !== undefined && !said.has(name)) said.set(name, line)
  }
  for (const [name, line] of said) settings.set(name, line)
  return lines.join('\n')
}

/** `-- Name: a; Type: TABLE; Schema: public; Owner: app`: read from its end, where no name can forge it twice. */
function titleOf(line: string): Pick<Entry, 'type' | 'schema' | 'name'> {
  const rest = header.exec(line)?.[1] ?? line
  const owner = rest.lastIndexOf('; Owner: ')
  const schema = rest.lastIndexOf('; Schema: ', owner < 0 ? undefined : owner - 1)
  const type = rest.lastIndexOf('; Type: ', schema - 1)
  return {
    name: rest.slice(0, type),
    type: rest.slice(type + 8, schema),
    schema: rest.slice(schema + 10, owner < 0 ? undefined : owner),
  }
}

/** Where `-- Name: …` begins a line of comment at the top level of the SQL. */
function headerOffsets(text: string): number[] {
  const offsets: number[] = []
  const token = /--[^\n]*|\/\*|'|"|\$(?:[A-Za-z_\u0080-\uffff][A-Za-z0-9_\u0080-\uffff]*)?\$/g
  for (let match = token.exec(text); match; match = token.exec(text)) {
    const [found] = match
    const at = match.index
    if (found.startsWith('--')) {
      if (found.startsWith('-- Name: ') && text.slice(at - 3, at) === '--\n') offsets.push(at)
      continue
    }
    if (found === '/*') token.lastIndex = afterComment(text, at)
    else if (found === '"') token.lastIndex = after(text, '"', at + 1)
    else if (found === "'") token.lastIndex = afterLiteral(text, at)
    else if (!/[A-Za-z0-9_$\u0080-\uffff]/.test(text[at - 1] ?? ' '))
      token.lastIndex = after(text, found, at + found.length)
  }
  return offsets
}

function after(text: string, end: string, from: number): number {
  const at = text.indexOf(end, from)
  return at < 0 ? text.length : at + end.length
}

/** A doubled quote ends one literal and begins the next, which comes to the same; after E a backslash takes the next character along. */
function afterLiteral(text: string, at: number): number {
  const escapes = /[eE]/.test(text[at - 1] ?? '') && !/[A-Za-z0-9_$"\u0080-\uffff]/.test(text[at - 2] ?? ' ')
  if (!escapes) return after(text, "'", at + 1)
  for (let i = at + 1; i < text.length; i++) {
    if (text[i] === '\\') i++
    else if (text[i] === "'" && text[i + 1] === "'") i++
    else if (text[i] === "'") return i + 1
  }
  return text.length
}

/** Comments nest in PostgreSQL. */
function afterComment(text: string, at: number): number {
  const mark = /\/\*|\*\//g
  mark.lastIndex = at
  let depth = 0
  for (let match = mark.exec(text); match; match = mark.exec(text)) {
    depth += match[0] === '/*' ? 1 : -1
    if (depth === 0) return mark.lastIndex
  }
  return text.length
}
