/** All definitions of a database, in the order of names, without what changes by itself: the `schema` stream, as canonical JSON. */
export type Schema = {
  readonly version: 1
  readonly database: { readonly charset: string; readonly collation: string; readonly comment: string }
  readonly tables: readonly TableDefinition[]
  readonly sequences: readonly SequenceDefinition[]
  readonly views: readonly CodeDefinition[]
  readonly routines: readonly RoutineDefinition[]
  readonly triggers: readonly TriggerDefinition[]
  readonly events: readonly EventDefinition[]
}

export type TableDefinition = {
  readonly name: string
  readonly engine: string
  /** `SHOW CREATE TABLE` without foreign keys and AUTO_INCREMENT. */
  readonly create: string
  /** The foreign keys, each as its line in `SHOW CREATE TABLE`. */
  readonly foreignKeys: readonly string[]
  /** The next number, where the table counts. */
  readonly autoIncrement: string | null
  /** The columns of the table's stream, in this order. None: the engine keeps no rows of its own, and the stream is empty. */
  readonly columns: readonly ColumnDefinition[]
  /** The columns that the rows are ordered by; none: as the engine gives them. */
  readonly order: readonly string[]
  /** With the history of a system-versioned table: the last two columns are the beginning and the end of each row's time. */
  readonly history: boolean
}

export type ColumnDefinition = { readonly name: string; readonly type: string }

export type SequenceDefinition = {
  readonly name: string
  readonly create: string
  /** The next value that it has promised to nobody. */
  readonly next: string
  readonly round: string
}

/** A definition that is text, with the session's settings that it was made under. */
export type CodeDefinition = {
  readonly name: string
  readonly create: string
  readonly charset: string
  readonly collation: string
}

export type RoutineDefinition = CodeDefinition & {
  readonly kind: 'FUNCTION' | 'PROCEDURE' | 'PACKAGE' | 'PACKAGE BODY'
  readonly sqlMode: string
}

export type TriggerDefinition = CodeDefinition & { readonly table: string; readonly sqlMode: string }

export type EventDefinition = CodeDefinition & { readonly sqlMode: string; readonly timeZone: string }

/** Tables of these engines show or pass on rows that are somewhere else. */
const passing = new Set([
  'MRG_MYISAM',
  'FEDERATED',
  'CONNECT',
  'SPIDER',
  'BLACKHOLE',
  'OQGRAPH',
  'SPHINX',
  'MROONGA',
  'S3',
])

export function keepsRows(engine: string): boolean {
  return !passing.has(engine.toUpperCase())
}

/** Consistent reads follow the point; other engines have to be locked while they are read. */
export function isTransactional(engine: string): boolean {
  return ['INNODB', 'ROCKSDB', 'TOKUDB'].includes(engine.toUpperCase())
}

const foreignKeyLine = /^ {2}CONSTRAINT `(?:[^`]|``)+` FOREIGN KEY \(/
const foreignKeyParts =
  /^CONSTRAINT `((?:[^`]|``)+)` (FOREIGN KEY \(.*?\) REFERENCES )((?:`(?:[^`]|``)+`\.)?)`((?:[^`]|``)+)`( \([\s\S]*)$/

/** Takes the text of `SHOW CREATE TABLE` apart. */
export function splitCreate(text: string): Pick<TableDefinition, 'create' | 'foreignKeys' | 'autoIncrement'> {
  const lines = text.split('\n')
  const end = lines.findIndex((line, i) => i > 0 && line.startsWith(')'))
  const inner = lines.slice(1, end).map((line) => line.replace(/,$/, ''))
  const foreignKeys = inner.filter((line) => foreignKeyLine.test(line)).map((line) => line.trim())
  const rest = inner.filter((line) => !foreignKeyLine.test(line))
  let autoIncrement: string | null = null
  const options = (lines[end] ?? '').replace(
    /^(\) ENGINE=\S+) AUTO_INCREMENT=(\d+)/,
    (_, before: string, n: string) => {
      autoIncrement = n
      return before
    },
  )
  const create = [lines[0], rest.join(',\n'), options, ...lines.slice(end + 1)].join('\n')
  return { create, foreignKeys: foreignKeys.sort(), autoIncrement }
}

/** `CREATE TABLE` or `CREATE SEQUENCE` for another name, with its counter. */
export function createAs(create: string, name: string, autoIncrement: string | null = null): string {
  const renamed = create.replace(
    /^(CREATE (?:TABLE|SEQUENCE) )`(?:[^`]|``)+`/,
    (_, start: string) => `${start}\`${name.replaceAll('`', '``')}\``,
  )
  if (autoIncrement === null) return renamed
  return renamed.replace(/^\) ENGINE=\S+/m, (options) => `${options} AUTO_INCREMENT=${autoIncrement}`)
}

const sequenceDefault = / DEFAULT (?:nextval|lastval)\(`(?:[^`]|``)+`\)/g

/** A table's definition without defaults that ask a sequence: while it waits, that may not be there. */
export function withoutSequences(create: string): string {
  return create.replaceAll(sequenceDefault, ' DEFAULT NULL').replaceAll(/( NOT NULL) DEFAULT NULL/g, '$1')
}

/** The columns whose defaults ask a sequence, each as its line in `SHOW CREATE TABLE`. */
export function sequenceColumns(create: string): string[] {
  return create
    .split('\n')
    .filter((line) => line.startsWith('  `') && line.replaceAll(sequenceDefault, '') !== line)
    .map((line) => line.trim().replace(/,$/, ''))
}

/** `ALTER SEQUENCE` that makes a sequence what a definition says. */
export function sequenceAs({ name, create, next }: SequenceDefinition): string {
  const options = create.replace(/^CREATE SEQUENCE `(?:[^`]|``)+` /, '').replace(/ ENGINE=[\s\S]*$/, '')
  return `ALTER SEQUENCE \`${name.replaceAll('`', '``')}\` ${options} RESTART WITH ${next}`
}

export type ForeignKey = {
  readonly name: string
  /** Its parent, where that is in the same database. */
  readonly parent: string | undefined
  /** All but the name, for a parent of this name. */
  clause(parent?: string): string
}

export function parseForeignKey(line: string): ForeignKey {
  const [, name = '', start = '', database = '', parent = '', rest = ''] = foreignKeyParts.exec(line) ?? []
  return {
    name: name.replaceAll('``', '`'),
    parent: database === '' ? parent.replaceAll('``', '`') : undefined,
    clause: (other) => `${start}${database}\`${other === undefined ? parent : other.replaceAll('`', '``')}\`${rest}`,
  }
}

const identifier = '(?:`(?:[^`]|``)+`|[0-9A-Za-z_$\\u0080-\\uffff]+)'
const triggerHead = new RegExp(
  `^(CREATE\\s+(?:OR\\s+REPLACE\\s+)?(?:DEFINER\\s*=\\s*(?:${identifier})(?:\\s*@\\s*(?:${identifier}|'[^']*'))?\\s+)?TRIGGER\\s+)(?:IF\\s+NOT\\s+EXISTS\\s+)?` +
    `(?:${identifier}\\s*\\.\\s*)?${identifier}(\\s+(?:BEFORE|AFTER)\\s+(?:INSERT|UPDATE|DELETE)\\s+ON\\s+)(?:${identifier}\\s*\\.\\s*)?${identifier}(\\s+FOR\\s+EACH\\s+ROW\\s)(?:\\s*(?:FOLLOWS|PRECEDES)\\s+${identifier}\\s)?`,
  'i',
)

/** A trigger's statement for another name and table; undefined where its head cannot be read. */
export function triggerAs(create: string, name: string, table: string): string | undefined {
  const head = triggerHead.exec(create)
  if (!head) return undefined
  const quote = (text: string) => `\`${text.replaceAll('`', '``')}\``
  return `${head[1]}${quote(name)}${head[2]}${quote(table)}${head[3]}${create.slice(head[0].length)}`
}
