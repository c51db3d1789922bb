import type { Session } from './session.ts'

/** What a restore will not bring back exactly as it was, by name, in words for people. */
export async function unsupportedIn(session: Session): Promise<string[]> {
  const rows = await session.query(`
    SELECT 1 AS rank, 'foreign table ' || n.nspname || '.' || c.relname || ': its rows are elsewhere and are not captured' AS text
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'f'
    UNION ALL
    SELECT 2, 'materialised view ' || n.nspname || '.' || c.relname || ': a restore fills it anew from its query'
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'm' AND c.relispopulated
    UNION ALL
    SELECT 3, 'replication slot ' || slot_name || ' of this database: it stays with the data that a restore replaces'
      FROM pg_replication_slots WHERE database = current_database()
    UNION ALL
    SELECT 4, 'prepared transaction ' || gid || ': it is not captured, and stands in the way of a restore'
      FROM pg_prepared_xacts WHERE database = current_database()
    UNION ALL
    SELECT 5, 'subscription ' || subname || ': it is not captured; make it again after a restore'
      FROM pg_subscription WHERE subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())
    ORDER BY 1, 2`)
  return rows.map((row) => row['text']!)
}
