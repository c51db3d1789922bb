import type { ContentSink } from '../../domain/content.ts'
import { EnvError } from '../../domain/errors.ts'
import type { ServiceRecord } from '../../domain/manifest.ts'
import type { Staged, SwapState } from '../../domain/swap.ts'
import type { ServiceContext, ServiceSwap } from '../service-driver.ts'
import { readLibraries } from './capture.ts'
import { Connection, type Word } from './connection.ts'
import { checked, indexSizes } from './facts.ts'
import { FunctionFiles } from './function-files.ts'
import { KeySorter } from './key-sorter.ts'
import { claimKey, globOf, isSelected, parseSelection, partPrefix } from './keys.ts'
import { Pause, pauseCommand, unpauseCommand } from './pause.ts'
import { functionPayload, readFunctionPayload } from './payload.ts'
import { persist } from './persist.ts'
import { encodeFunctions, type KeysContent, recordOf } from './records.ts'
import { RefusedReply, type Reply } from './replies.ts'
import { scanIndex } from './scan.ts'
import { type ClaimState, scriptError, swapIndexes, swapKeys } from './scripts.ts'
import type { Server } from './server.ts'
import { dropIndexes, refusedScript } from './stage.ts'
import { asStaged, type StagedIndex, type StagedRedis } from './staged.ts'

const defaultHoldMs = 5000

/**
 * Exchanges indexes, or keys, within the server in one script. What was live is in the spare index then, with every write up to that very
 * moment: nothing has to be captured before.
 */
export class RedisSwap implements ServiceSwap {
  readonly #server: Server
  readonly #context: ServiceContext
  readonly #staged: StagedRedis
  readonly #files: FunctionFiles
  readonly #claim: string
  #work: { readonly connection: Connection; readonly pause: Pause; readonly others: readonly number[] } | undefined

  constructor(server: Server, context: ServiceContext, staged: StagedRedis) {
    this.#server = server
    this.#context = context
    this.#staged = staged
    this.#files = new FunctionFiles(context.privateDirectory, staged.id)
    this.#claim = claimKey(staged.id)
  }

  async inspect(): Promise<SwapState> {
    const states = await this.#states()
    const done = states.filter((state) => state === 'aside').length
    return done === 0 ? 'before' : done === states.length ? 'after' : 'between'
  }

  async prepare(): Promise<void> {
    await this.#open()
  }

  async hold(limitMs: number): Promise<void> {
    const { pause } = await this.#open()
    await pause.begin(limitMs)
  }

  async lastCapture(): Promise<Staged> {
    const { connection } = await this.#open()
    await this.#refuseStrangers(connection)
    if (this.#staged.functions) await this.#keepFunctions(connection)
    this.#context.trace(`${this.#server.name}: ready to swap`)
    return asStaged(this.#staged)
  }

  async forward(): Promise<void> {
    await this.#exchange('aside', { comes: 'comes', goes: 'goes', functions: 'after' })
  }

  /** What it takes away lies in the spare index again, with all that was written to it. */
  async back(): Promise<void> {
    if ((await this.inspect()) === 'before') return
    await this.#exchange('taken back', { comes: 'goes', goes: 'comes', functions: 'before' })
  }

  /** What was compared when it was staged is live, or it is not: an exchange of indexes changes no byte. */
  async readBack(): Promise<void> {
    if ((await this.inspect()) !== 'after') throw this.#lost()
  }

  async release(): Promise<void> {
    await this.#work?.pause.end()
  }

  async before(sink: ContentSink, safety: ServiceRecord): Promise<ServiceRecord> {
    const { connection } = await this.#open()
    await persist(connection, this.#server.name)
    // A server that was restarted may have come up with what it had saved before.
    if ((await this.inspect()) !== 'after') throw this.#lost()
    this.#context.trace(`${this.#server.name}: saved by the server`)
    const indexes: KeysContent[] = []
    for (const pair of this.#staged.pairs) indexes.push(await this.#storeAside(connection, pair, sink))
    const libraries = this.#staged.functions ? await this.#files.read('before') : []
    const functions = { content: await sink.write('rows', encodeFunctions(libraries)), count: libraries.length }
    const { name, level, live, versions } = safety
    return recordOf({ name, level, live, versions, isWhole: this.#server.index === undefined }, indexes, functions)
  }

  async discard(): Promise<void> {
    const { connection } = await this.#open()
    await this.release()
    const spares = this.#staged.pairs.map(({ spare }) => spare)
    await dropIndexes(
      connection,
      this.#server.name,
      this.#staged.id,
      ['staging', 'staged', 'aside', 'taken back'],
      spares,
    )
    await this.#files.remove()
    this.#work = undefined
    connection.destroy()
  }

  close(): void {
    this.#work?.pause.stop()
    this.#work?.connection.destroy()
    this.#work = undefined
  }

  async #open() {
    if (this.#work && !this.#work.connection.ended) return this.#work
    this.#work?.pause.stop()
    const connection = await Connection.open(this.#server, this.#context.signal)
    const taken = new Set(this.#staged.pairs.flatMap(({ index, spare }) => [index, spare]))
    const others =
      this.#server.index === undefined ? [...(await indexSizes(connection)).keys()].filter((nr) => !taken.has(nr)) : []
    this.#work = { connection, pause: new Pause(connection, this.#server.name), others }
    return this.#work
  }

  async #states(): Promise<(ClaimState | undefined)[]> {
    const { connection } = await this.#open()
    const commands = this.#staged.pairs.flatMap(
      ({ spare }) =>
        [
          ['SELECT', spare],
          ['GET', this.#claim],
        ] as Word[][],
    )
    const replies = (await connection.batch(commands)).map(checked)
    return this.#staged.pairs.map((_, nr) => {
      const state = replies[2 * nr + 1]
      return state === null ? undefined : (String(state) as ClaimState)
    })
  }

  /** Once: later what was taken back may have been written to. */
  async #refuseStrangers(connection: Connection): Promise<void> {
    const { name } = this.#server
    const states = await this.#states()
    for (const [nr, { spare, keys }] of this.#staged.pairs.entries()) {
      if (states[nr] !== 'staged') continue
      const size = checked((await connection.batch([['SELECT', spare], ['DBSIZE']]))[1]!) as number
      if (size <= keys + 1) continue
      throw new EnvError(
        'refused',
        `${name}: something has written to index ${spare}, in which the restore is staged`,
        {
          hint: 'give another index as spare, which nothing uses',
        },
      )
    }
    const sizes = this.#server.index === undefined ? await indexSizes(connection) : []
    const late = this.#work!.others.find((nr) => sizes[nr]! > 0)
    if (late !== undefined) throw lateIndex(name, late)
  }

  async #keepFunctions(connection: Connection): Promise<void> {
    const states = await this.#states()
    if (states.includes('aside')) return
    await this.#files.write('before', await readLibraries(connection, this.#server.name))
  }

  async #exchange(
    to: 'aside' | 'taken back',
    part: { readonly comes: 'comes' | 'goes'; readonly goes: 'comes' | 'goes'; readonly functions: 'before' | 'after' },
  ): Promise<void> {
    const { connection, pause } = await this.#open()
    const { name } = this.#server
    const { functions } = this.#staged
    if ((await this.#states()).every((state) => state === to)) return
    if (to === 'aside') await this.#requireStaged()
    const wasHeld = pause.isBegun
    if (!wasHeld) await pause.begin(defaultHoldMs)
    const commands: (readonly Word[])[] = [unpauseCommand]
    const exchange = this.#command(to, part)
    if (functions) {
      const payload = functionPayload(await this.#files.read(part.functions))
      commands.push(['MULTI'], ['FUNCTION', 'DUMP'], exchange, ['FUNCTION', 'RESTORE', payload, 'FLUSH'], ['EXEC'])
    } else commands.push(exchange)
    // Our own writes would wait too. All of it is one write, and where others come between, theirs is set aside with the rest.
    commands.push(pauseCommand)
    const sentAt = performance.now()
    const replies = await connection.batch(commands)
    pause.renewed(sentAt)
    if (!wasHeld) await pause.end()
    if (functions) await this.#afterFunctions(replies.at(-2)!, part.functions === 'after' ? 'before' : 'after')
    const refused = replies.slice(1, -1).find((reply) => reply instanceof RefusedReply)
    if (refused) throw this.#explain(refused)
    this.#context.trace(`${name}: ${to === 'aside' ? 'swapped' : 'taken back'}`)
  }

  /** What was replaced is kept, should it be newer than what was kept; where the indexes were not exchanged, the functions are put back. */
  async #afterFunctions(results: Reply, which: 'before' | 'after'): Promise<void> {
    if (!Array.isArray(results)) throw this.#explain(results as RefusedReply)
    const [dump, exchanged, loaded] = results as [Buffer, Reply, Reply]
    const libraries = readFunctionPayload(dump)
    if (exchanged instanceof RefusedReply) {
      await this.#work!.connection.batch([['FUNCTION', 'RESTORE', functionPayload(libraries), 'FLUSH']])
      throw this.#explain(exchanged)
    }
    await this.#files.write(which, libraries)
    if (loaded instanceof RefusedReply) throw this.#explain(loaded)
  }

  /** What would be swapped in is there; or it has been swapped in. */
  async #requireStaged(): Promise<void> {
    const states = await this.#states()
    if (states.some((state) => state === undefined || state === 'staging')) throw this.#lost()
    await this.#refuseStrangers(this.#work!.connection)
  }

  #command(
    to: ClaimState,
    { comes, goes }: { readonly comes: 'comes' | 'goes'; readonly goes: 'comes' | 'goes' },
  ): Word[] {
    const { pairs, only, id } = this.#staged
    const head = [this.#claim, to, pairs.length, ...pairs.flatMap(({ index, spare }) => [index, spare])]
    if (only === null) return ['EVAL', swapIndexes, 0, ...head, ...this.#work!.others]
    const selections = parseSelection(only, this.#server.name).flatMap(({ text, isPrefix }) =>
      isPrefix ? ['pattern', globOf(text)] : ['key', text],
    )
    return ['EVAL', swapKeys, 0, ...head, partPrefix(id, comes), partPrefix(id, goes), ...selections]
  }

  async #storeAside(connection: Connection, { index, spare }: StagedIndex, sink: ContentSink): Promise<KeysContent> {
    const { only, id } = this.#staged
    const { name, index: own } = this.#server
    const { privateDirectory, signal } = this.#context
    const sorter = new KeySorter(privateDirectory)
    try {
      const goes = Buffer.from(only === null ? '' : partPrefix(id, 'goes'))
      await scanIndex({
        connection,
        name,
        index: spare,
        wanted: (key) => key.toString('latin1') !== this.#claim && key.subarray(0, goes.length).equals(goes),
        add: (record) => sorter.add({ ...record, key: record.key.subarray(goes.length) }),
        signal,
      })
      if (only !== null) {
        // The others stayed; what was written to them since is theirs.
        const selections = parseSelection(only, name)
        const wanted = (key: Buffer) => !isSelected(key, selections)
        await scanIndex({ connection, name, index, wanted, add: (record) => sorter.add(record), signal })
      }
      const content = await sink.write('rows', sorter.sorted())
      return { index: own === undefined ? index : undefined, keys: sorter.count, content }
    } finally {
      sorter.close()
    }
  }

  #explain(reply: RefusedReply): unknown {
    const found = new RegExp(`${scriptError} (\\w+) ?(\\d*)`).exec(reply.message)
    if (found?.[1] === 'late') return lateIndex(this.#server.name, Number(found[2]))
    if (found) return this.#lost(reply)
    return refusedScript(reply, this.#server.name)
  }

  #lost(cause?: unknown): EnvError {
    const spares = this.#staged.pairs.map(({ spare }) => spare).join(', ')
    return new EnvError('damaged', `${this.#server.name}: what was staged is not in index ${spares} any more`, {
      cause,
      hint: 'the server was restarted without saving, or something emptied it: git env recover takes the restore back or finishes it',
    })
  }
}

function lateIndex(name: string, index: number): EnvError {
  return new EnvError('refused', `${name}: index ${index} got its first keys after the restore was prepared`, {
    hint: 'run the command again: it looks anew',
  })
}
