import { displayName, type Table } from './catalog.ts'
import type { Facts, TableFacts } from './record.ts'
import type { Session } from './session.ts'
import { qualified } from './sql.ts'

/**
 * The tables of an earlier capture that hold the same rows still, by name. A row that was written later carries a transaction that the capture
 * did not see; one that was removed is missing in the count. So a table with none of the former and as many rows is unchanged.
 *
 * Where all were held, what began before the point had ended; else what was under way then counts as later. Numbers of transactions
 * come round again after two thousand million: a very old row may be taken for a new one, never the other way round.
 */
export async function unchangedTables(
  sessions: readonly Session[],
  tables: readonly Table[],
  earlier: { readonly facts: Facts; readonly isFrozen: boolean; readonly databaseOid: number },
): Promise<Map<string, TableFacts>> {
  const unchanged = new Map<string, TableFacts>()
  const { facts, isFrozen, databaseOid } = earlier
  if (facts.databaseOid !== databaseOid) return unchanged
  const threshold = viewBounds(facts.view)[isFrozen ? 'next' : 'oldest']
  const before = new Map(facts.tables.map((table) => [table.oid, table]))
  const queue = tables.toSorted((a, b) => b.bytes - a.bytes)
  await Promise.all(
    sessions.map(async (session) => {
      for (let table = queue.shift(); table; table = queue.shift()) {
        const then = before.get(table.oid)
        if (!then || !sameShape(table, then)) continue
        const row = await session.one(
          `SELECT count(*) AS rows, count(*) FILTER (WHERE age(xmin) <= age('${threshold}'::xid)) AS later FROM ONLY ${qualified(table.schema, table.name)} ${table.condition}`,
        )
        if (row['later'] === '0' && Number(row['rows']) === then.rows) unchanged.set(displayName(table), then)
      }
    }),
  )
  return unchanged
}

/** `oldest`: the first transaction that may have been under way; `next`: the first that had not begun. As 32 bits, as rows carry them. */
function viewBounds(view: string): { oldest: string; next: string } {
  const [oldest = '0', next = '0'] = view.split(':')
  const short = (id: string) => String(BigInt(id) & 0xffffffffn)
  return { oldest: short(oldest), next: short(next) }
}

function sameShape(table: Table, then: TableFacts): boolean {
  const shape = (each: Table | TableFacts) => JSON.stringify([each.schema, each.name, each.columns, each.key])
  return shape(table) === shape(then)
}
