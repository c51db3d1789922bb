import type { ContentSource } from '../../domain/content.ts'
import { EnvError } from '../../domain/errors.ts'
import type { ServiceRecord } from '../../domain/manifest.ts'
import type { Staged } from '../../domain/swap.ts'
import type { ServiceContext, ServiceSwap, StageOptions } from '../service-driver.ts'
import { listTables, streamName } from './catalog.ts'
import { unchangedTables } from './changes.ts'
import { sameDefinitions } from './definitions.ts'
import { type Link, serverFacts } from './link.ts'
import { StoredDatabase } from './load.ts'
import { largeObjectsStream } from './record.ts'
import { rehearseUndo } from './rehearsal.ts'
import { stageReplacement } from './replacement-stage.ts'
import { ReplacementSwap } from './replacement-swap.ts'
import { stageRows } from './rows-stage.ts'
import { RowsSwap } from './rows-swap.ts'
import { asStaged, fromStaged } from './staged.ts'

export type Staging = { readonly target: ServiceRecord; readonly live: ServiceRecord; readonly options: StageOptions }

/** Where more than this share of all bytes lies in tables that differ, and more than so many, a new database is quicker. */
const mostShare = 0.4
const alwaysRowsBytes = 32 * 2 ** 20
/** A larger table that is being written to would be copied and compared while its writers wait. */
const mostCopiedBytes = 16 * 2 ** 20

/**
 * Two ways. Rows within the live database, where the definitions are the same: sessions go on, and the cost is that of what differs. A database beside it
 * that takes its name, where they are not, or most of it differs: sessions are ended, and everything is loaded.
 */
export async function stageDatabase(link: Link, context: ServiceContext, staging: Staging): Promise<Staged> {
  const { target, live, options } = staging
  if (target.presence === 'absent') {
    context.trace(`${context.name}: staged`)
    return asStaged({ way: 'rename', warnings: ended, id: options.id, database: link.server.database, freshOid: null })
  }
  const stored = new StoredDatabase(target, options.source)
  if (live.presence === 'absent') return asStaged(await stageReplacement(link, context, stored, options, []))
  await refuseOlder(link, context, stored)
  const present = new StoredDatabase(live, options.source)
  const isAlike = options.only !== undefined || (await definedAlike(stored, present))
  const replaceable = await whyNotReplaceable(link, context)
  const inPlace = { target: stored, live: present, options, warnings: [] }
  const mustBeRows = replaceable !== undefined || options.only !== undefined
  if (isAlike && (mustBeRows || (isSmall(stored, present) && !(await isLargeTableWritten(link, context, present))))) {
    return asStaged(await stageRows(link, context, inPlace))
  }
  if (replaceable !== undefined) throw replaceable
  try {
    await rehearseUndo(link, context, present, options.id)
  } catch (error) {
    // Rows need no definitions: they only make writers wait longer.
    if (isAlike && isSmall(stored, present) && error instanceof EnvError && error.code === 'refused') {
      return asStaged(await stageRows(link, context, inPlace))
    }
    throw error
  }
  return asStaged(await stageReplacement(link, context, stored, options, ended))
}

const ended = ['connections to the database are ended when it is swapped; applications connect again']

async function definedAlike(target: StoredDatabase, live: StoredDatabase): Promise<boolean> {
  const large = (stored: StoredDatabase) => stored.find(largeObjectsStream)?.content.sha256
  return large(target) === large(live) && sameDefinitions(await target.definitions(), await live.definitions())
}

function isSmall(target: StoredDatabase, live: StoredDatabase): boolean {
  const present = new Map(live.record.streams.map((stream) => [stream.name, stream.content.sha256]))
  const different = target.facts.tables
    .map((table) => target.stream(streamName(table)))
    .filter((stream) => present.get(stream.name) !== stream.content.sha256)
    .reduce((sum, { content }) => sum + content.bytes, 0)
  return different <= Math.max(alwaysRowsBytes, target.record.bytes * mostShare)
}

/** Whether a large table has been written to since the safety snapshot: then it will be again until the swap. */
async function isLargeTableWritten(link: Link, { name }: ServiceContext, live: StoredDatabase): Promise<boolean> {
  const session = await link.open()
  try {
    const { databaseOid } = await serverFacts(session, name)
    const large = (await listTables(session)).filter(({ bytes }) => bytes > mostCopiedBytes)
    const isFrozen = live.record.level === 'frozen'
    const unchanged = await unchangedTables([session], large, { facts: live.facts, isFrozen, databaseOid })
    return unchanged.size < large.length
  } finally {
    await session.close()
  }
}

async function refuseOlder(link: Link, { name }: ServiceContext, stored: StoredDatabase): Promise<void> {
  const session = await link.open()
  const { major, version } = await serverFacts(session, name)
  await session.close()
  if (major >= stored.facts.major) return
  throw new EnvError(
    'refused',
    `${name}: the snapshot is of PostgreSQL ${stored.record.versions['postgresql']}, and the server is ${version}, which is older`,
    {
      hint: `restore it on a server of version ${stored.facts.major} or newer`,
    },
  )
}

/** Why no database can be made beside the live one; undefined when it can. */
async function whyNotReplaceable(link: Link, { name }: ServiceContext): Promise<EnvError | undefined> {
  const session = await link.open()
  try {
    const { user, canCreateDatabases, ownsDatabase } = await serverFacts(session, name)
    const { database } = link.server
    if (!canCreateDatabases) return refusal(`${user} may not create databases`, `ALTER ROLE ${user} CREATEDB`)
    if (!ownsDatabase)
      return refusal(`${user} does not own the database`, `ALTER DATABASE ${database} OWNER TO ${user}`)
    const [prepared] = await session.query('SELECT gid FROM pg_prepared_xacts WHERE database = current_database()')
    if (prepared)
      return refusal(`the prepared transaction ${prepared['gid']} is open`, `ROLLBACK PREPARED or COMMIT PREPARED it`)
    await (await link.openMaintenance()).close()
    return undefined
  } catch (error) {
    if (error instanceof EnvError && error.code === 'refused') return error
    throw error
  } finally {
    await session.close()
  }

  function refusal(reason: string, hint: string): EnvError {
    return new EnvError(
      'refused',
      `${name}: definitions differ from the snapshot's, so the database has to be made anew, and ${reason}`,
      { hint },
    )
  }
}

export function openSwap(
  link: Link,
  context: ServiceContext,
  staged: Staged,
  source: ContentSource | undefined,
): ServiceSwap {
  const plan = fromStaged(staged)
  return plan.way === 'rename' ? new ReplacementSwap(link, context, plan) : new RowsSwap(link, context, plan, source)
}
