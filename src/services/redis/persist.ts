import { setTimeout as sleep } from 'node:timers/promises'
import { EnvError } from '../../domain/errors.ts'
import type { Connection } from './connection.ts'
import { info } from './facts.ts'
import { RefusedReply } from './replies.ts'

const longestSaveMs = 30 * 60_000
const syncMs = 10_000

/**
 * Makes what the server holds now survive its restart, where the server is set to survive one at all: SWAPDB is in its log of commands, but
 * a dump on disk is of before.
 */
export async function persist(connection: Connection, name: string): Promise<void> {
  if ((await info(connection, name, 'persistence')).get('aof_enabled') === '1') return syncLog(connection, name)
  const [save] = await connection.batch([['CONFIG', 'GET', 'save']])
  // Nothing is saved, and nobody expects anything after a restart: a dump of ours would come up again then.
  if (Array.isArray(save) && String(save[1] ?? '') === '') return
  const deadline = Date.now() + longestSaveMs
  for (;;) {
    const [reply] = await connection.batch([['BGSAVE']])
    if (!(reply instanceof RefusedReply)) break
    // A server that others look after.
    if (reply.isDenied) return
    if (Date.now() > deadline) throw notSaved(name, reply.message)
    await sleep(50)
  }
  for (;;) {
    const state = await info(connection, name, 'persistence')
    if (state.get('rdb_bgsave_in_progress') === '0') {
      if (state.get('rdb_last_bgsave_status') !== 'ok') throw notSaved(name, 'its background save was cut short')
      return
    }
    if (Date.now() > deadline) throw notSaved(name, 'its background save takes too long')
    await sleep(20)
  }
}

/** From Redis 7.2 on it says when the log is on the disk; before, it is within a second, as it is for everybody's writes. */
async function syncLog(connection: Connection, name: string): Promise<void> {
  await connection.batch([['WAITAOF', 1, 0, syncMs]])
  const state = await info(connection, name, 'persistence')
  if (state.get('aof_last_write_status') !== 'ok') throw notSaved(name, 'the last write to its log went wrong')
}

function notSaved(name: string, why: string): EnvError {
  return new EnvError('unavailable', `${name}: the server cannot save its data: ${why}`, {
    hint: 'see its log; it needs room and rights in its folder',
  })
}
