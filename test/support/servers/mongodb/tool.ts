import { appendFileSync, existsSync, readSync } from 'node:fs'
import { Data } from './data.ts'

export type Target = { readonly data: Data; readonly database: string }

/** A tool's last words, as it says them: with the time before them. */
export function say(text: string): void {
  process.stderr.write(`${new Date().toISOString().replace('Z', '+0000')}\t${text}\n`)
}

export function fail(text: string): never {
  say(`Failed: ${text}`)
  process.exit(1)
}

/** `--name=value` and `--name`; what a tool does not know ends it. */
export function readOptions(known: readonly string[]): Map<string, string> {
  const options = new Map<string, string>()
  for (const word of process.argv.slice(2)) {
    const [, name = '', value = ''] = /^--(\w+)(?:=(.*))?$/s.exec(word) ?? []
    if (!known.includes(name)) {
      say(`error parsing command line options: unknown option ${JSON.stringify(name)}`)
      process.exit(1)
    }
    options.set(name, value)
  }
  return options
}

const pattern = /^mongodb:\/\/(?:([^:@/]*)(?::([^@/]*))?@)?([^/]+)\/([^?]*)(?:\?(.*))?$/

/** A server's socket is the file that its data is in. `ask` reads a password that the uri does not hold. */
export function connect(uri: string, ask?: () => string): Target {
  const [, user, password, host = '', database = ''] = pattern.exec(uri) ?? []
  const file = decodeURIComponent(host)
  // mongodump and mongorestore ask before they connect.
  const given = user === undefined ? undefined : password === undefined ? ask?.() : decodeURIComponent(password)
  if (!existsSync(file)) throw new Error(`connect ENOENT ${file}`)
  // For tests to look at: what anybody on the machine could have seen.
  appendFileSync(`${file}.words`, `${process.argv.join(' ')}\n`)
  const data = new Data(file)
  const login = data.setting('login')
  if (login !== undefined && login !== JSON.stringify([decodeURIComponent(user ?? ''), given ?? ''])) {
    throw new Error('Authentication failed.')
  }
  return { data, database: decodeURIComponent(database) }
}

/** Byte by byte: what follows belongs to the tool. */
export function readPassword(): string {
  process.stderr.write('Enter password for mongo user:')
  const bytes: number[] = []
  for (const byte = Buffer.alloc(1); readByte(byte) && byte[0] !== 10; ) bytes.push(byte[0]!)
  process.stderr.write('\n')
  return Buffer.from(bytes).toString('utf8')
}

function readByte(byte: Buffer): boolean {
  for (;;) {
    try {
      return readSync(0, byte) === 1
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error
    }
  }
}

export function printVersion(tool: string): void {
  if (process.argv[2] !== '--version') return
  process.stdout.write(`${tool} version: 100.10.0\ngit version: 6d4f001be3fcf673de27d20176e90ee02ef233a9\n`)
  process.exit(0)
}
