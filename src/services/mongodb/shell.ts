import { createInterface } from 'node:readline'
import { Readable } from 'node:stream'
import type { Json } from '../../domain/canonical-json.ts'
import { EnvError } from '../../domain/errors.ts'
import { Program } from '../connection/program.ts'
import type { Server } from './server.ts'

/** A document as canonical extended JSON. */
export type Document = { readonly [key: string]: Json | undefined }

/** Numbers of the server's own errors. */
export const namespaceNotFound = 26
export const namespaceExists = 48
export const duplicateKey = 11000
const rightErrors = new Set([13, 18, 8000])

const mark = 'git-env answer '
/** Extended JSON would take a query's operator of this name for a regular expression. */
const operator = '"$regex":'
const escaped = '"git-env $regex":'

/** Runs in mongosh: its first line is the connection string, each other a command. */
const program = `(async () => {
  const lines = require('readline').createInterface({ input: process.stdin, crlfDelay: Infinity });
  const isPlain = (value) => Object.prototype.toString.call(value) === '[object Object]' && !value._bsontype;
  const plain = (value) => Array.isArray(value) ? value.map(plain) : !isPlain(value) ? value
    : Object.fromEntries(Object.entries(value).map(([key, each]) => [key.replace('git-env $', '$'), plain(each)]));
  const say = (answer) => print('${mark}' + EJSON.stringify(answer, { relaxed: false }));
  let first;
  const answer = async (line) => {
    const { id, database, command } = EJSON.parse(line, { relaxed: false });
    try {
      say({ id, result: await first.getSiblingDB(database).runCommand(plain(command)) });
    } catch (error) {
      say({ id, code: String(error.code), message: String(error.message) });
    }
  };
  for await (const line of lines) {
    if (first) answer(line); else first = await connect(JSON.parse(line));
  }
})()`

type Answer = {
  readonly id: string
  readonly result?: Document
  readonly code?: string
  readonly message?: string
}

type Waiting = { resolve(result: Document): void; reject(error: unknown): void }

/** A connection to the server, by a mongosh that is started when it is first asked for something. */
export class Shell {
  readonly server: Server
  readonly #signal: AbortSignal
  readonly #waiting = new Map<string, Waiting>()
  #program: Promise<Program> | undefined
  #count = 0

  constructor(server: Server, signal: AbortSignal) {
    this.server = server
    this.#signal = signal
  }

  /** Throws `refused` for a right that is missing, else `unavailable`; {@link serverCode} tells the server's own number. */
  async command(command: Document, database = this.server.database): Promise<Document> {
    this.#program ??= this.#start()
    const started = await this.#program
    const id = `${this.#count++}`
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject })
      const text = JSON.stringify({ id, database, command }).replaceAll(operator, escaped)
      started.input.write(`${text}\n`)
    })
  }

  /** All that a command with a cursor gives: one that lists, or `find`. */
  async list(command: Document): Promise<readonly Document[]> {
    const first = cursorOf(await this.command(command))
    const all = [...first.firstBatch!]
    for (let { id, ns } = first; numberOf(id) !== 0; ) {
      const next = cursorOf(await this.command({ getMore: id, collection: ns.slice(ns.indexOf('.') + 1) }))
      all.push(...next.nextBatch!)
      id = next.id
    }
    return all
  }

  close(): void {
    this.#program?.then(
      (started) => started.end(),
      () => {},
    )
    this.#program = undefined
  }

  async #start(): Promise<Program> {
    const words = ['mongosh', '--quiet', '--norc', '--nodb', '--eval', program]
    const started = await Program.start(words, { ...this.server, signal: this.#signal }).catch((error) => {
      this.#program = undefined
      throw error
    })
    this.#read(started).catch(() => {})
    started.input.write(`${JSON.stringify(this.server.secretUri)}\n`)
    return started
  }

  async #read(started: Program): Promise<void> {
    let reason: unknown = new EnvError('unavailable', `${this.server.name}: mongosh has ended`)
    try {
      for await (const line of createInterface({ input: Readable.from(started.output()) })) {
        if (line.startsWith(mark)) this.#settle(JSON.parse(line.slice(mark.length)) as Answer)
      }
    } catch (error) {
      reason = this.#explained(error)
    }
    this.#program = undefined
    for (const { reject } of this.#waiting.values()) reject(reason)
    this.#waiting.clear()
  }

  #settle({ id, result, code, message }: Answer): void {
    const waiting = this.#waiting.get(id)
    this.#waiting.delete(id)
    if (!waiting) return
    if (result) {
      waiting.resolve(result)
      return
    }
    const { name, secrets } = this.server
    const shown = secrets.reduce((text, secret) => (secret === '' ? text : text.replaceAll(secret, '***')), message!)
    const isRight = rightErrors.has(Number(code))
    waiting.reject(
      new EnvError(isRight ? 'refused' : 'unavailable', `${name}: MongoDB says: ${shown}`, {
        details: { serverCode: Number(code) },
        ...(isRight ? { hint: rightsHint } : {}),
      }),
    )
  }

  #explained(error: unknown): unknown {
    if (!(error instanceof EnvError) || error.code !== 'unavailable') return error
    if (/authentication failed/i.test(error.message)) {
      return new EnvError('refused', `${this.server.name}: the server does not let this user in`, {
        hint: 'look at user, password and authSource in the url',
        cause: error,
      })
    }
    if (!/ECONNREFUSED|ENOTFOUND|ENOENT|timed out/.test(error.message)) return error
    return new EnvError('unavailable', `${this.server.name}: ${error.message}`, { hint: 'is the server running?' })
  }
}

const rightsHint = 'the user needs the roles readWrite and dbAdmin on the database'

/** The number of the server's error that a command threw; undefined for another. */
export function serverCode(error: unknown): number | undefined {
  return error instanceof EnvError ? (error.details?.['serverCode'] as number | undefined) : undefined
}

type Cursor = {
  readonly id: Json
  readonly ns: string
  readonly firstBatch?: readonly Document[]
  readonly nextBatch?: readonly Document[]
}

function cursorOf(answer: Document): Cursor {
  return answer['cursor'] as unknown as Cursor
}

/** Of any of the number types of extended JSON; NaN for something else. */
export function numberOf(value: Json | undefined): number {
  if (typeof value === 'number') return value
  const typed = (value ?? {}) as Document
  return Number(typed['$numberInt'] ?? typed['$numberLong'] ?? typed['$numberDouble'] ?? Number.NaN)
}
