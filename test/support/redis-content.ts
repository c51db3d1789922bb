import { hash } from 'node:crypto'
import type { Connection, Word } from '../../src/services/redis/connection.ts'
import type { Reply } from '../../src/services/redis/replies.ts'

/** What an index holds, by the server's own means: equal when and only when it is equal. */
export async function indexContent(connection: Connection, index: number): Promise<string> {
  await connection.run('SELECT', index)
  const keys = ((await connection.run('KEYS', '*')) as Buffer[]).sort(Buffer.compare)
  const lines: string[] = []
  for (const key of keys) {
    const commands: Word[][] = [
      ['DEBUG', 'DIGEST-VALUE', key],
      ['PEXPIRETIME', key],
      ['TYPE', key],
    ]
    const [digest, expires, type] = await connection.batch(commands)
    const groups = String(type) === 'stream' ? await streamContent(connection, key) : ''
    lines.push(`${key.toString('latin1')} ${String(digest)} ${String(expires)} ${String(type)} ${groups}`)
  }
  return lines.join('\n')
}

/** The digest of a stream leaves its groups out. */
async function streamContent(connection: Connection, key: Buffer): Promise<string> {
  const full = await connection.run('XINFO', 'STREAM', key, 'FULL', 'COUNT', 0)
  return hash('sha256', JSON.stringify(readable(full)))
}

function readable(reply: Reply): unknown {
  if (Array.isArray(reply)) return reply.map(readable)
  return Buffer.isBuffer(reply) ? reply.toString('latin1') : reply
}

/** All indexes and functions. */
export async function serverContent(connection: Connection, wanted: (index: number) => boolean): Promise<string> {
  const parts: string[] = []
  for (let index = 0; index < 16; index++) {
    if (!wanted(index)) continue
    const content = await indexContent(connection, index)
    // One that a restore is staged in, or has set aside: it says so itself.
    if (content !== '' && !/^git-env:restore:/m.test(content)) parts.push(`index ${index}\n${content}`)
  }
  const functions = (await connection.run('FUNCTION', 'LIST', 'WITHCODE')) as Reply[]
  parts.push(...functions.map((each) => JSON.stringify(readable((each as Reply[]).at(-1)!))).sort())
  return parts.join('\n')
}

/** Keys of all indexes whose name holds this. */
export async function keysNaming(connection: Connection, word: string): Promise<string[]> {
  const found: string[] = []
  for (let index = 0; index < 16; index++) {
    await connection.run('SELECT', index)
    for (const key of (await connection.run('KEYS', `*${word}*`)) as Buffer[]) found.push(`${index} ${key.toString()}`)
  }
  return found
}

export async function writtenNumbers(connection: Connection, index: number): Promise<number[]> {
  await connection.run('SELECT', index)
  const keys = (await connection.run('KEYS', 'written:*')) as Buffer[]
  return keys.map((key) => Number(key.toString().slice('written:'.length))).sort((a, b) => a - b)
}
