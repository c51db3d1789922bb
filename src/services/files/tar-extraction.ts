import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Readable, Writable } from 'node:stream'
import { cancelled, EnvError, messageOf, systemCode } from '../../domain/errors.ts'
import type { TreeEntry } from '../../domain/tree.ts'

/** What tar needs to know of an entry. `path` is a byte string, relative to the folder that is extracted into. */
export type TarMember = Pick<TreeEntry, 'path' | 'type' | 'mode' | 'mtimeNs' | 'target'> & { readonly bytes: number }

const blockBytes = 512
const maxStderr = 4000

/**
 * Writes files by a stream to the system's `tar`. Node sets times as floating-point seconds, which are off by up to 240 ns today; tar,
 * on Linux and macOS, sets those of pax headers to the nanosecond, and ten thousand of them in a fraction of a second. Names pass through
 * as the bytes they are. Folders that exist get their times (and the mode given) and keep what is in them.
 */
export class TarExtraction {
  readonly #child: ChildProcessByStdio<Writable, null, Readable>
  readonly #ended: Promise<void>
  #waiting: Uint8Array[] = []
  #waitingBytes = 0
  #broken = false

  /** `directory` exists. */
  constructor(directory: string, signal: AbortSignal) {
    this.#child = spawn('tar', ['-x', '-p', '-f', '-', '--no-same-owner'], {
      cwd: directory,
      env: { LC_ALL: 'C' },
      stdio: ['pipe', 'ignore', 'pipe'],
      signal,
    })
    this.#ended = this.#watch()
    this.#ended.catch(() => {})
    this.#child.stdin.on('error', () => {
      this.#broken = true
    })
  }

  async #watch(): Promise<void> {
    let stderr = ''
    this.#child.stderr.on('data', (data: Buffer) => {
      stderr = (stderr + data.toString('utf8')).slice(-maxStderr)
    })
    try {
      const [status] = (await once(this.#child, 'close')) as [number | null]
      if (status !== 0) throw failed(`exit status ${status}`, stderr)
    } catch (error) {
      if (error instanceof EnvError) throw error
      if ((error as Error).name === 'AbortError') throw cancelled()
      const missing = systemCode(error) === 'ENOENT'
      throw new EnvError('unavailable', missing ? 'tar is not installed' : `tar: ${messageOf(error)}`, {
        cause: error,
        ...(missing ? { hint: 'files are written by the system tar: install it' } : {}),
      })
    }
  }

  /** Writes one member; for a file, exactly `bytes` bytes must come. */
  async add(member: TarMember, content?: AsyncIterable<Uint8Array>): Promise<void> {
    await this.#write(Buffer.concat(headers(member)))
    if (!content) return
    let length = 0
    for await (const part of content) {
      length += part.length
      await this.#write(part)
    }
    if (length !== member.bytes) {
      throw new EnvError('damaged', `${length} bytes came where the listing says ${member.bytes}`)
    }
    await this.#write(padding(length))
  }

  /** Resolves when all is written (not yet durable). */
  async finish(): Promise<void> {
    await this.#write(Buffer.alloc(2 * blockBytes))
    await this.#flush()
    this.#child.stdin.end()
    await this.#ended
  }

  /** Ends tar wherever it is. */
  async abort(): Promise<void> {
    this.#child.kill('SIGKILL')
    await this.#ended.catch(() => {})
  }

  async #write(bytes: Uint8Array): Promise<void> {
    this.#waiting.push(bytes)
    this.#waitingBytes += bytes.length
    if (this.#waitingBytes >= 1 << 18) await this.#flush()
  }

  async #flush(): Promise<void> {
    const bytes = Buffer.concat(this.#waiting)
    this.#waiting = []
    this.#waitingBytes = 0
    if (this.#broken) await this.#ended
    if (this.#child.stdin.write(bytes)) return
    await Promise.race([once(this.#child.stdin, 'drain'), this.#ended])
  }
}

function failed(how: string, stderr: string): EnvError {
  const lines = stderr.split('\n').filter((line) => line !== '' && !line.includes('time stamp'))
  const noRoom = /no space left|quota/i.test(stderr)
  return new EnvError('unavailable', `tar could not write the files: ${lines[0] ?? how}`, {
    ...(noRoom ? { hint: 'make room on that file system, then run it again' } : {}),
  })
}

function padding(length: number): Buffer {
  return Buffer.alloc((blockBytes - (length % blockBytes)) % blockBytes)
}

/** The blocks before a member's bytes: a pax header for what ustar has no room for, GNU's headers for long names, ustar. */
function headers(member: TarMember): Buffer[] {
  const { path, type, mode, bytes, target = '' } = member
  const pax: [string, string][] = [['mtime', paxTime(member.mtimeNs)]]
  const fits = bytes < 8 ** 11
  if (!fits) pax.push(['size', String(bytes)])
  const records = Buffer.from(pax.map(paxRecord).join(''), 'latin1')
  const flag = { file: '0', directory: '5', symlink: '2' }[type]
  return [
    ustar('pax', 'x', 0o600, records.length),
    records,
    padding(records.length),
    ...longName('L', path),
    ...longName('K', target),
    ustar(path, flag, mode, fits ? bytes : 0, target),
  ]
}

function longName(flag: string, name: string): Buffer[] {
  if (name.length < 100) return []
  const bytes = Buffer.from(`${name}\0`, 'latin1')
  return [ustar('././@LongLink', flag, 0, bytes.length), bytes, padding(bytes.length)]
}

function ustar(name: string, flag: string, mode: number, size: number, target = ''): Buffer {
  const block = Buffer.alloc(blockBytes)
  const octal = (value: number, offset: number, length: number) =>
    block.write(`${value.toString(8).padStart(length - 1, '0')}\0`, offset, 'latin1')
  block.write(name, 0, 100, 'latin1')
  octal(mode, 100, 8)
  octal(0, 108, 8)
  octal(0, 116, 8)
  octal(size, 124, 12)
  octal(0, 136, 12)
  block.write('        ', 148, 'latin1')
  block.write(flag, 156, 'latin1')
  block.write(target, 157, 100, 'latin1')
  block.write('ustar\x0000', 257, 'latin1')
  let sum = 0
  for (const byte of block) sum += byte
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1')
  return block
}

/** Length, blank, key, `=`, value, newline; the length counts its own digits. */
function paxRecord([key, value]: readonly [string, string]): string {
  const rest = ` ${key}=${value}\n`
  let length = rest.length + 1
  while (String(length).length + rest.length !== length) length++
  return `${length}${rest}`
}

function paxTime(ns: bigint): string {
  const size = ns < 0n ? -ns : ns
  return `${ns < 0n ? '-' : ''}${size / 1_000_000_000n}.${String(size % 1_000_000_000n).padStart(9, '0')}`
}
