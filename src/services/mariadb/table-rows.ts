import type { Content, ContentSink } from '../../domain/content.ts'
import { quoted } from './names.ts'
import { RowText } from './row-text.ts'
import type { TableDefinition } from './schema.ts'
import type { Session } from './session.ts'

/** The rows of a table as its stream has them. A FLOAT's own text loses bits, so it goes as a DOUBLE. */
function selectRows(table: TableDefinition, actual: string): string {
  const columns = table.columns.map(({ name, type }) =>
    type === 'float' || type === 'double' ? `CAST(${quoted(name)} AS DOUBLE)` : quoted(name),
  )
  const time = table.history ? ' FOR SYSTEM_TIME ALL' : ''
  const order = table.order.length > 0 ? ` ORDER BY ${table.order.map(quoted).join(', ')}` : ''
  return `SELECT ${columns.join(', ')} FROM ${quoted(actual)}${time}${order}`
}

export type TableContent = { readonly content: Content; readonly rows: number }

/** The session's results must be plain bytes (`character_set_results = NULL`), its time zone UTC. */
export async function storeRows(
  session: Session,
  table: TableDefinition,
  actual: string,
  sink: Pick<ContentSink, 'write'>,
  progress: (bytes: number) => void,
): Promise<TableContent> {
  if (table.columns.length === 0) return { content: await sink.write('rows', new Uint8Array()), rows: 0 }
  const text = new RowText()
  const content = await sink.write('rows', counted(session.lines(selectRows(table, actual), text), progress))
  return { content, rows: text.rows }
}

async function* counted(
  blocks: AsyncIterable<Uint8Array>,
  progress: (bytes: number) => void,
): AsyncGenerator<Uint8Array> {
  for await (const block of blocks) {
    yield block
    progress(block.length)
  }
}

/** For a session that reads rows. */
export const plainResults = 'SET SESSION character_set_results = NULL'
