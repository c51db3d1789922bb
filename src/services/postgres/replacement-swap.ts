import { rm } from 'node:fs/promises'
import type { ContentSink } from '../../domain/content.ts'
import { EnvError } from '../../domain/errors.ts'
import type { ServiceRecord } from '../../domain/manifest.ts'
import type { Staged, SwapState } from '../../domain/swap.ts'
import type { ServiceContext, ServiceSwap } from '../service-driver.ts'
import { sharePoint, takePoint } from './capture.ts'
import { displayName, listSequences, listTables, streamName } from './catalog.ts'
import { unchangedTables } from './changes.ts'
import { databaseOids, dropOwn, renameDatabases } from './databases.ts'
import { endVacuums, holdTables } from './hold.ts'
import { type Link, serverFacts } from './link.ts'
import { type OwnNames, ownNames } from './names.ts'
import { requireDumper } from './programs.ts'
import { absentRecord, factsOf } from './record.ts'
import type { Session } from './session.ts'
import { asStaged, type StagedReplacement } from './staged.ts'
import { storeDatabase } from './store-database.ts'

/**
 * Swaps by exchanging names: the live database is set aside with everything that was ever acknowledged in it, and the one that was made takes its
 * name, in one transaction of the server. Whoever was connected is ended and finds the restored data when connecting again.
 */
export class ReplacementSwap implements ServiceSwap {
  readonly #link: Link
  readonly #context: ServiceContext
  readonly #staged: StagedReplacement
  readonly #names: OwnNames
  #maintenance: Session | undefined
  #helper: Session | undefined
  #holder: Session | undefined

  constructor(link: Link, context: ServiceContext, staged: StagedReplacement) {
    this.#link = link
    this.#context = context
    this.#staged = staged
    this.#names = ownNames(staged.id, context.name, context.privateDirectory)
  }

  async inspect(): Promise<SwapState> {
    const oids = await this.#oids()
    const { database, freshOid } = this.#staged
    if (freshOid !== null) return oids.get(database) === freshOid ? 'after' : 'before'
    return oids.has(database) && !oids.has(this.#names.old) ? 'before' : 'after'
  }

  async prepare(): Promise<void> {
    await this.#sessions()
    const session =
      (await this.inspect()) === 'before' ? await this.#link.openIfThere(this.#staged.database) : undefined
    if (!session) return
    await endVacuums(session, await listTables(session))
    await session.close()
  }

  async hold(limitMs: number): Promise<void> {
    await this.#sessions()
    const { database, freshOid } = this.#staged
    const oid = (await this.#oids()).get(database)
    if (oid === undefined || this.#holder?.ended === false) return
    this.#holder = await this.#link.openIfThere(database)
    if (!this.#holder) return
    // What was restored is not held by its tables again: nobody but us knows yet that it is there.
    const tables = oid === freshOid ? [] : (await listTables(this.#holder)).filter((table) => table.lockable)
    try {
      await holdTables(this.#holder, tables, { mode: 'SHARE ROW EXCLUSIVE', limitMs, name: this.#context.name })
    } catch (error) {
      await this.#endHolder()
      throw error
    }
  }

  /** What is set aside is the last capture. */
  async lastCapture(): Promise<Staged> {
    this.#context.trace(`${this.#context.name}: held`)
    return asStaged(this.#staged)
  }

  async forward(): Promise<void> {
    if ((await this.inspect()) === 'after') return
    const oids = await this.#oids()
    const { database, freshOid } = this.#staged
    const { fresh, old } = this.#names
    if (freshOid !== null && oids.get(fresh) !== freshOid) {
      throw new EnvError(
        'damaged',
        `${this.#context.name}: the database ${fresh}, which was made for this restore, is gone`,
      )
    }
    await this.#rename(oids, [
      ...(oids.has(database) ? [{ from: database, to: old }] : []),
      ...(freshOid === null ? [] : [{ from: fresh, to: database }]),
    ])
  }

  async back(): Promise<void> {
    if ((await this.inspect()) === 'before') return
    const oids = await this.#oids()
    const { database } = this.#staged
    const { fresh, old } = this.#names
    await this.#rename(oids, [
      ...(oids.has(database) ? [{ from: database, to: fresh }] : []),
      ...(oids.has(old) ? [{ from: old, to: database }] : []),
    ])
  }

  async #rename(oids: ReadonlyMap<string, number>, renames: readonly { from: string; to: string }[]): Promise<void> {
    if (renames.length === 0) return
    const { maintenance, helper } = await this.#sessions()
    await this.#endHolder()
    this.#context.trace(`${this.#context.name}: sessions are about to be ended`)
    await renameDatabases(
      maintenance,
      helper,
      renames.map((each) => ({ ...each, oid: oids.get(each.from)! })),
    )
    this.#context.trace(`${this.#context.name}: databases renamed`)
  }

  /** It was compared when it was made, and nobody knew its name until now. */
  async readBack(): Promise<void> {
    if ((await this.inspect()) !== 'after') {
      throw new EnvError(
        'damaged',
        `${this.#context.name}: ${this.#staged.database} is not the database that was restored`,
      )
    }
  }

  async release(): Promise<void> {
    await this.#endHolder()
  }

  async before(sink: ContentSink, safety: ServiceRecord): Promise<ServiceRecord> {
    const { name, signal } = this.#context
    const first = await this.#link.openIfThere(this.#names.old)
    if (!first) return absentRecord(name, safety.level)
    const readers = [first, await this.#link.open(this.#names.old)]
    const facts = await serverFacts(first, name)
    const point = await takePoint(first, await listSequences(first))
    await sharePoint(readers[1]!, point)
    const tables = await listTables(first)
    const isKnown = safety.presence === 'present'
    const unchanged = isKnown
      ? await unchangedTables(readers, tables, {
          facts: factsOf(safety),
          isFrozen: safety.level === 'frozen',
          databaseOid: facts.databaseOid,
        })
      : new Map()
    const contents = new Map(safety.streams.map((stream) => [stream.name, stream.content]))
    const record = await storeDatabase({
      link: this.#link,
      name,
      readers,
      facts,
      dumper: await requireDumper(name, facts.major),
      tables,
      point,
      level: safety.level,
      rung: isKnown ? factsOf(safety).rung : '',
      sink,
      progress: () => {},
      signal,
      known: (table) => {
        const then = unchanged.get(displayName(table))
        const content = contents.get(streamName(table))
        return then && content ? { content, rows: then.rows } : undefined
      },
    })
    await Promise.all(readers.map((reader) => reader.close()))
    return record
  }

  async discard(): Promise<void> {
    await this.#endHolder()
    const { maintenance } = await this.#sessions()
    const oids = await this.#oids()
    for (const name of [this.#names.fresh, this.#names.old]) {
      if (!oids.has(name)) continue
      await dropOwn(maintenance, name)
      this.#context.trace(`${this.#context.name}: ${name} dropped`)
    }
    await rm(this.#names.directory, { recursive: true, force: true })
  }

  async #endHolder(): Promise<void> {
    const holder = this.#holder
    this.#holder = undefined
    await holder?.close()
  }

  async #oids(): Promise<Map<string, number>> {
    const { maintenance } = await this.#sessions()
    return databaseOids(maintenance, [this.#staged.database, this.#names.fresh, this.#names.old])
  }

  async #sessions(): Promise<{ maintenance: Session; helper: Session }> {
    if (!this.#maintenance || this.#maintenance.ended) this.#maintenance = await this.#link.openMaintenance()
    if (!this.#helper || this.#helper.ended) this.#helper = await this.#link.openMaintenance()
    return { maintenance: this.#maintenance, helper: this.#helper }
  }
}
