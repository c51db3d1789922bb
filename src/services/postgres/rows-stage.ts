import { rm } from 'node:fs/promises'
import { EnvError } from '../../domain/errors.ts'
import { makeDirectory, syncDirectory } from '../../system/durable-file.ts'
import type { ServiceContext, StageOptions } from '../service-driver.ts'
import { displayName, listTables, streamName } from './catalog.ts'
import type { Link } from './link.ts'
import type { StoredDatabase } from './load.ts'
import { ownNames } from './names.ts'
import { writeDifference } from './row-files.ts'
import { becomeReplica } from './rows-apply.ts'
import { changeFiles, type StagedRows, type TableChange } from './rows-plan.ts'

export type RowsStaging = {
  readonly target: StoredDatabase
  readonly live: StoredDatabase
  readonly options: StageOptions
  readonly warnings: readonly string[]
}

/** Works out, from what is stored alone, which rows of which tables differ, and keeps them as files. */
export async function stageRows(
  link: Link,
  context: ServiceContext,
  { target, live, options, warnings }: RowsStaging,
): Promise<StagedRows> {
  await refuseObstacles(link, context)
  const { directory } = ownNames(options.id, context.name, context.privateDirectory)
  await rm(directory, { recursive: true, force: true })
  await makeDirectory(directory)
  const changes: TableChange[] = []
  for (const table of tablesToChange(target, live, options.only)) {
    context.signal.throwIfAborted()
    const [then, now] = [target, live].map((each) => each.stream(streamName(table)))
    if (then!.content.sha256 === now!.content.sha256) continue
    const files = changeFiles(directory, changes.length)
    await writeDifference(files, live.bytes(now!), progressing(target.bytes(then!), options.progress))
    changes.push({ table: displayName(table), goal: then!.content.sha256, ...files })
  }
  await syncDirectory(directory)
  context.trace(`${context.name}: staged`)
  return {
    way: 'in place',
    warnings,
    id: options.id,
    directory,
    database: link.server.database,
    only: options.only ?? null,
    target: target.record,
    live: live.record,
    changes,
    sequences: await target.sequences(),
    filled: (await live.definitions()).filled,
  }
}

async function* progressing(
  bytes: AsyncIterable<Uint8Array>,
  progress: (bytes: number) => void,
): AsyncGenerator<Uint8Array> {
  for await (const part of bytes) {
    progress(part.length)
    yield part
  }
}

/** Those that are on both sides; where only some are wanted, those, which must be defined alike. */
function tablesToChange(target: StoredDatabase, live: StoredDatabase, only: readonly string[] | undefined) {
  const present = new Map(live.facts.tables.map((table) => [displayName(table), table]))
  for (const name of only ?? []) {
    const then = target.facts.tables.find((table) => displayName(table) === name)
    const now = present.get(name)
    const shape = (table: typeof now) => JSON.stringify([table?.columns, table?.key])
    if (then && now && shape(then) === shape(now)) continue
    throw new EnvError(
      then ? 'refused' : 'not-found',
      `${target.record.name}: table ${name} ${then ? (now ? 'has other columns now than in the snapshot' : 'is not there now') : 'is not in the snapshot'}`,
      {
        hint: 'restore the database whole',
      },
    )
  }
  return target.facts.tables.filter((table) => only?.includes(displayName(table)) ?? present.has(displayName(table)))
}

/** What the swap will need, asked before anything is prepared. */
async function refuseObstacles(link: Link, { name }: ServiceContext): Promise<void> {
  const session = await link.open()
  try {
    const { may, user } = await session.one(
      `SELECT has_database_privilege(current_database(), 'TEMP') AS may, current_user AS user`,
    )
    if (may !== 't') {
      throw new EnvError('refused', `${name}: ${user} may not make temporary tables`, {
        hint: `GRANT TEMPORARY ON DATABASE "${session.database}" TO ${user}`,
      })
    }
    const foreign = (await listTables(session)).find((table) => !table.lockable)
    if (foreign) {
      throw new EnvError('refused', `${name}: ${user} may not write to ${displayName(foreign)}`, {
        hint: `ALTER TABLE ${displayName(foreign)} OWNER TO ${user}`,
      })
    }
    const [trigger] = await session.query(`SELECT evtname AS name FROM pg_event_trigger WHERE evtenabled <> 'D'`)
    if (trigger && !(await becomeReplica(session))) {
      throw new EnvError('refused', `${name}: the event trigger ${trigger['name']} would watch the restore`, {
        hint: `GRANT SET ON PARAMETER session_replication_role TO ${user} (from PostgreSQL 15 on), or disable it meanwhile`,
      })
    }
  } finally {
    await session.close()
  }
}
