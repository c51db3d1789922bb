import { setTimeout as sleep } from 'node:timers/promises'
import { EnvError } from '../../domain/errors.ts'
import { stateOf } from './database.ts'
import { carriesId, createdName, goneName, literal, type MarkState, markName, markStates, quoted } from './names.ts'
import { listTables } from './read-schema.ts'
import type { Session } from './session.ts'

const longestEndMs = 10_000

/** How far the swap of a restore is; undefined: it is not staged. */
export async function readMark(session: Session, database: string, id: string): Promise<MarkState | undefined> {
  const names = await ownTables(session, database, id)
  return markStates.find((state) => names.has(markName(id, state)))
}

/** Asks for names only: for more, the server would wait for tables that the gate keeps. */
async function ownTables(session: Session, database: string, id: string): Promise<Set<string>> {
  const rows = await session.query(`SHOW TABLES FROM ${quoted(database)} LIKE ${literal(`%git_env_${id}_%`)}`)
  return new Set(rows.map((row) => Object.values(row)[0]!))
}

export async function makeTable(session: Session, name: string): Promise<void> {
  await session.execute(`CREATE TABLE IF NOT EXISTS ${quoted(name)} (i INT) ENGINE = InnoDB`)
}

export async function dropTable(session: Session, name: string): Promise<void> {
  await session.execute(`DROP TABLE IF EXISTS ${quoted(name)}`)
}

export async function moveMark(session: Session, id: string, from: MarkState, to: MarkState): Promise<void> {
  await session.execute(`RENAME TABLE ${quoted(markName(id, from))} TO ${quoted(markName(id, to))}`)
}

/**
 * Ends what connections of a process that died are still at for this restore: the server may not have seen yet that they are gone.
 * A user sees and may end connections of its own without further rights.
 */
export async function endStrays(session: Session, id: string, ours: readonly number[]): Promise<void> {
  const deadline = Date.now() + longestEndMs
  for (;;) {
    const rows = await session.query(
      `SELECT id FROM information_schema.PROCESSLIST WHERE info LIKE ${literal(`%git\\_env\\_${id}\\_%`)} AND id NOT IN (${[session.threadId, ...ours].join(', ')})`,
    )
    if (rows.length === 0) return
    if (Date.now() > deadline) {
      throw new EnvError('busy', `connection ${rows[0]!['id']} of an earlier git-env is still at work in the server`, {
        hint: `KILL ${rows[0]!['id']}`,
      })
    }
    for (const row of rows) await session.execute(`KILL ${row['id']}`).catch(() => {})
    await sleep(10)
  }
}

/** Drops all that carries the id, and the database where it is nothing without it. Nothing where there is nothing. */
export async function dropAll(session: Session, database: string, id: string): Promise<void> {
  await endStrays(session, id, [])
  const state = await stateOf(session, database)
  if (state === 'not there') return
  const ours = (await listTables(session, database)).filter(({ name }) => carriesId(name, id))
  const isShell = ours.some(({ name }) => name === createdName(id) || name === goneName(id))
  await session.execute('SET SESSION foreign_key_checks = 0')
  const last = [createdName(id), goneName(id)]
  for (const { name, kind } of ours.toSorted((a, b) => Number(last.includes(a.name)) - Number(last.includes(b.name)))) {
    if (last.includes(name) && state === 'only ours') continue
    await session.execute(`DROP ${kind === 'sequence' ? 'SEQUENCE' : 'TABLE'} IF EXISTS ${quoted(name)}`)
  }
  if (!isShell || state !== 'only ours') return
  const left = await listTables(session, database)
  if (left.every(({ name }) => last.includes(name))) await session.execute(`DROP DATABASE ${quoted(database)}`)
}
