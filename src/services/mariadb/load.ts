import { EnvError } from '../../domain/errors.ts'
import { quoted } from './names.ts'
import type { TableDefinition } from './schema.ts'
import type { ServerFacts } from './server.ts'
import type { Session } from './session.ts'

/** Types that take a binary string for the value's own bytes, or not at all (JSON of MySQL): with the character set that their text is in. */
const byText: ReadonlyMap<string, string> = new Map([
  ['uuid', 'latin1'],
  ['inet4', 'latin1'],
  ['inet6', 'latin1'],
  ['json', 'utf8mb4'],
])
const numbers: ReadonlySet<string> = new Set(['tinyint', 'smallint', 'mediumint', 'int', 'bigint', 'decimal'])
const batchBytes = 1_048_576
/** Room in a packet for all of a statement but its rows. */
const headBytes = 65_536

/** A session that puts rows in as fast as the server allows. */
export async function readyToLoad(session: Session, bulk: boolean): Promise<void> {
  await session.execute(`SET SESSION foreign_key_checks = 0, unique_checks = ${bulk ? 0 : 1}`)
}

/** Puts a stream's rows into an empty table, as one statement: only that is fast. */
export async function loadRows(
  session: Session,
  table: TableDefinition,
  actual: string,
  rows: AsyncIterable<Uint8Array>,
): Promise<void> {
  await keepHistory(session, table)
  const columns = table.columns.map(({ name, type }, i) => (byText.has(type) ? `@v${i}` : quoted(name)))
  const sets = table.columns.flatMap(({ name, type }, i) =>
    byText.has(type) ? [`${quoted(name)} = CONVERT(@v${i} USING ${byText.get(type)})`] : [],
  )
  await session.load(
    `LOAD DATA LOCAL INFILE 'rows' INTO TABLE ${quoted(actual)} CHARACTER SET binary FIELDS TERMINATED BY '\\t' ESCAPED BY '\\\\' LINES TERMINATED BY '\\n' (${columns.join(', ')})${sets.length > 0 ? ` SET ${sets.join(', ')}` : ''}`,
    rows,
  )
}

/** The other way in, where the server takes no files from clients: many rows in each INSERT. The session must be a binary one. */
export async function insertRows(
  session: Session,
  table: TableDefinition,
  actual: string,
  rows: AsyncIterable<Uint8Array>,
  facts: Pick<ServerFacts, 'maxPacketBytes'>,
): Promise<void> {
  await keepHistory(session, table)
  const columns = table.columns.map(({ name }) => quoted(name)).join(', ')
  const head = bytesOf(`INSERT INTO ${quoted(actual)} (${columns}) VALUES `)
  const limit = Math.min(batchBytes, facts.maxPacketBytes - headBytes)
  let batch: string[] = []
  let length = 0
  const send = async () => {
    if (batch.length > 0) await session.execute(head + batch.join(','))
    batch = []
    length = 0
  }
  await session.execute('START TRANSACTION')
  for await (const line of linesOf(rows)) {
    const values = valuesOf(line, table)
    if (head.length + values.length > facts.maxPacketBytes - 1024) throw tooLong(table.name, values.length, facts)
    if (length + values.length > limit) await send()
    batch.push(values)
    length += values.length
  }
  await send()
  await session.execute('COMMIT')
}

/** A row's values as SQL. The escapes of the stream are those of a string in SQL; only quotes have to be added. */
export function valuesOf(line: string, table: Pick<TableDefinition, 'columns'>): string {
  const values = line.split('\t').map((cell, i) => {
    if (cell === '\\N') return 'NULL'
    const { type } = table.columns[i]!
    if (numbers.has(type) && /^-?[\d.]+$/.test(cell)) return cell
    const text = `_binary'${cell.replaceAll("'", "\\'")}'`
    const charset = byText.get(type)
    return charset === undefined ? text : `CONVERT(${text} USING ${charset})`
  })
  return `(${values.join(',')})`
}

/** Lines without their newline, each byte as the character of its number. */
export async function* linesOf(rows: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  let rest: Buffer<ArrayBufferLike> = Buffer.alloc(0)
  for await (const part of rows) {
    const block = rest.length > 0 ? Buffer.concat([rest, part]) : Buffer.from(part.buffer, part.byteOffset, part.length)
    let start = 0
    for (let end = block.indexOf(10); end >= 0; end = block.indexOf(10, start)) {
      yield block.toString('latin1', start, end)
      start = end + 1
    }
    rest = Buffer.from(block.subarray(start))
  }
}

/** A statement for a binary session. */
export function bytesOf(sql: string): string {
  return Buffer.from(sql, 'utf8').toString('latin1')
}

async function keepHistory(session: Session, table: TableDefinition): Promise<void> {
  if (table.history) await session.execute('SET SESSION system_versioning_insert_history = 1')
}

function tooLong(name: string, bytes: number, { maxPacketBytes }: Pick<ServerFacts, 'maxPacketBytes'>): EnvError {
  return new EnvError(
    'refused',
    `a row of ${name} has ${bytes} bytes, and the server takes ${maxPacketBytes} at once`,
    {
      hint: `SET GLOBAL max_allowed_packet = ${Math.ceil(bytes / 1_048_576 + 1) * 1_048_576}; or SET GLOBAL local_infile = 1`,
    },
  )
}
