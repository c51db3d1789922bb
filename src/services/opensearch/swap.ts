import type { ContentSink, ContentSource } from '../../domain/content.ts'
import { EnvError } from '../../domain/errors.ts'
import type { ServiceRecord } from '../../domain/manifest.ts'
import type { Staged, SwapState } from '../../domain/swap.ts'
import type { ServiceContext, ServiceSwap } from '../service-driver.ts'
import { type Action, type Aliases, addAll, changeAliases, removeAll } from './aliases.ts'
import { recordBefore } from './before.ts'
import type { Client } from './client.ts'
import { cloneIndex } from './clone.ts'
import { type Found, findIndices, isBlocked, type LiveIndex, textOf, withoutBlock } from './definitions.ts'
import { allowWrites, blockWrites, dropIndex, evidenceOf } from './indices.ts'
import { makeOwnName, parseOwnName } from './names.ts'
import { beforeSwap, findOthers, othersText, setOthers } from './others.ts'
import { findProduct } from './product.ts'
import { stageIndex } from './stage.ts'
import { asStaged, definitionIn, type Goes, othersIn, type Part, type StagedIndices } from './staged.ts'

/** Swaps by one change of aliases; see docs/decisions/0016. */
export class IndexSwap implements ServiceSwap {
  #staged: StagedIndices
  readonly #client: Client
  readonly #context: ServiceContext
  readonly #source: ContentSource | undefined
  /** Only on the way forward is it asked whether what stays was written to. */
  #isPrepared = false
  #written: readonly string[] = []

  constructor(staged: StagedIndices, client: Client, context: ServiceContext, source: ContentSource | undefined) {
    this.#staged = staged
    this.#client = client
    this.#context = context
    this.#source = source
  }

  async inspect(): Promise<SwapState> {
    const isSwapped = this.#isSwapped(await findIndices(this.#client))
    const { others, othersBefore } = this.#staged
    const now = others === null ? null : othersText(await findOthers(this.#client))
    if (isSwapped && now === others) return 'after'
    if (!isSwapped && (othersBefore === undefined || now === othersBefore || others === null)) return 'before'
    return isSwapped || othersBefore !== undefined ? 'between' : 'before'
  }

  async prepare(): Promise<void> {
    this.#isPrepared = true
    const found = await findIndices(this.#client)
    if (!this.#isSwapped(found)) await this.#stageMore(await this.#changed(found))
  }

  /** Nobody waits: there is no hold. What stays must not have been written to since it was compared. */
  async hold(): Promise<void> {
    const found = await findIndices(this.#client)
    if (!this.#isPrepared || this.#isSwapped(found)) return
    this.#written = await this.#changed(found)
    if (this.#written.length === 0) return
    throw new EnvError(
      'busy',
      `${this.#context.name}: ${this.#written.join(', ')} was written to right before the swap`,
      {
        hint: 'run the command again',
      },
    )
  }

  async lastCapture(): Promise<Staged> {
    const found = await findIndices(this.#client)
    if (this.#isSwapped(found)) return asStaged(this.#staged)
    const goes = [...found.live.values()].filter((index) => this.#leaves(index)).map((index) => this.#goes(index))
    this.#staged = { ...this.#staged, goes, ...(await this.#othersBefore()) }
    this.#trace('last capture')
    return asStaged(this.#staged)
  }

  async #othersBefore(): Promise<Pick<StagedIndices, 'othersBefore'>> {
    const { others, othersBefore } = this.#staged
    if (others === null) return {}
    const now = await findOthers(this.#client)
    if (othersBefore === undefined) return { othersBefore: othersText(now) }
    return { othersBefore: othersText(beforeSwap(othersIn(othersBefore), now, othersIn(others))) }
  }

  async forward(): Promise<void> {
    if (this.#staged.goes === undefined) await this.lastCapture()
    const { others } = this.#staged
    if (others !== null) {
      await setOthers(this.#client, othersIn(others))
      this.#trace('templates and pipelines set')
    }
    const found = await findIndices(this.#client)
    if (!this.#isSwapped(found)) await this.#exchange(found)
    // A write that was on its way to what is set aside is refused now, and not lost.
    const after = await findIndices(this.#client)
    for (const { physical } of this.#staged.goes ?? [])
      if (after.ours.has(physical)) await blockWrites(this.#client, physical)
  }

  /** Clones of what cannot be renamed, then all names at once. Until then a failure lets everybody write again. */
  async #exchange(found: Found): Promise<void> {
    const goes = this.#staged.goes ?? []
    this.#refuseStrangers(found, goes)
    const present = goes.filter(({ name, uuid }) => found.live.get(name)?.uuid === uuid)
    try {
      for (const each of present.filter(({ name, physical }) => name === physical)) {
        await blockWrites(this.#client, each.physical)
        this.#trace(`${each.name} blocked`)
        await cloneIndex(this.#client, each.physical, each.clone, definitionIn(each.definition))
        this.#trace(`${each.name} cloned`)
      }
      const removed = present.flatMap(({ name }) => removeAll(found.live.get(name)!))
      const added = this.#staged.parts.flatMap((part) => this.#comes(part))
      await changeAliases(this.#client, [...removed, ...added])
      this.#trace('swapped')
    } catch (error) {
      await this.#letWrite().catch(() => {})
      throw error
    }
  }

  #comes({ name, physical, definition }: Part): Action[] {
    return addAll(physical, { [name]: {}, ...definitionIn(definition).aliases } as Aliases)
  }

  /** An index that came to a name of ours after the last capture is in nobody's record yet. */
  #refuseStrangers({ live }: Found, goes: readonly Goes[]): void {
    for (const { name } of [...this.#staged.parts, ...goes]) {
      const index = live.get(name)
      if (!index || goes.some((each) => each.uuid === index.uuid)) continue
      throw new EnvError('busy', `${this.#context.name}: ${name} was made right before the swap`, {
        hint: 'run the command again',
      })
    }
  }

  async back(): Promise<void> {
    const { others, othersBefore, parts, goes = [] } = this.#staged
    if (others !== null && othersBefore !== undefined) await setOthers(this.#client, othersIn(othersBefore))
    const found = await findIndices(this.#client)
    if (!this.#isSwapped(found)) return this.#letWrite()
    const names = new Set([...parts, ...goes].map(({ name }) => name))
    const there = [...names].flatMap((name) => found.live.get(name) ?? [])
    for (const { name, physical, definition } of there) {
      if (name !== physical) continue
      await blockWrites(this.#client, physical)
      await cloneIndex(this.#client, physical, makeOwnName(this.#staged.id, 'old', name), definition)
      this.#trace(`${name}, made since, cloned`)
    }
    const removed = there.flatMap(removeAll)
    const added: Action[] = []
    for (const each of goes) {
      const aside = this.#asideOf(each, found)
      if (aside === undefined) throw this.#lost(each)
      const definition = definitionIn(each.definition)
      if (!isBlocked(definition)) await allowWrites(this.#client, aside)
      added.push(...addAll(aside, { [each.name]: {}, ...definition.aliases } as Aliases))
    }
    await changeAliases(this.#client, [...removed, ...added])
    this.#trace('taken back')
  }

  async readBack(): Promise<void> {
    if ((await this.inspect()) !== 'after') {
      throw new EnvError('damaged', `${this.#context.name}: the indices are not those that were restored`)
    }
    const { ours } = await findIndices(this.#client)
    const strange = this.#staged.parts.find(({ physical, uuid }) => ours.get(physical)?.uuid !== uuid)
    if (strange) throw new EnvError('damaged', `${this.#context.name}: ${strange.name} is not what was restored`)
  }

  async release(): Promise<void> {
    await this.#letWrite()
    const written = this.#written
    this.#written = []
    await this.#stageMore(written)
  }

  /** Takes away blocks of ours that stand before a swap which did not come to pass. */
  async #letWrite(): Promise<void> {
    const { goes = [] } = this.#staged
    if (goes.length === 0) return
    const { live } = await findIndices(this.#client)
    for (const { name, physical, uuid, definition } of goes) {
      const index = live.get(name)
      if (index?.uuid !== uuid || !isBlocked(index.definition) || isBlocked(definitionIn(definition))) continue
      await allowWrites(this.#client, physical)
    }
  }

  async before(sink: ContentSink, safety: ServiceRecord): Promise<ServiceRecord> {
    const found = await findIndices(this.#client)
    return recordBefore({
      client: this.#client,
      product: await findProduct(this.#client),
      context: this.#context,
      staged: this.#staged,
      found,
      asideOf: (goes) => this.#asideOf(goes, found) ?? this.#throw(goes),
      sink,
      safety,
    })
  }

  async discard(): Promise<void> {
    await this.#letWrite()
    const { ours } = await findIndices(this.#client)
    const { id, goes = [] } = this.#staged
    const aside = new Set(goes.map(({ physical }) => physical))
    for (const [physical, { aliases }] of ours) {
      const own = parseOwnName(physical)!
      if (aliases.size > 0 || (own.id !== id && !aside.has(physical))) continue
      await dropIndex(this.#client, physical)
      this.#trace(`${physical} dropped`)
    }
  }

  /** Judged by who has the names now. */
  #isSwapped({ live }: Found): boolean {
    const { parts, equal, goes, only } = this.#staged
    if (!parts.every(({ name, physical }) => live.get(name)?.physical === physical)) return false
    const stays = new Set([...parts, ...equal].map(({ name }) => name))
    const leaving = goes?.map(({ name }) => name) ?? [...live.keys()].filter((name) => !only || only.includes(name))
    return leaving.every((name) => {
      const index = live.get(name)
      if (stays.has(name) || !index) return true
      // A writer may have made it anew, under the same name.
      return goes?.every((each) => each.uuid !== index.uuid && each.clone !== index.physical) ?? false
    })
  }

  #leaves({ name }: LiveIndex): boolean {
    const { only, equal } = this.#staged
    return (only === null || only.includes(name)) && !equal.some((each) => each.name === name)
  }

  #goes({ name, physical, uuid, definition }: LiveIndex): Goes {
    const clone = makeOwnName(this.#staged.id, 'old', name)
    const earlier = this.#staged.goes?.find((each) => each.uuid === uuid)
    // A block that was not there before is of an earlier attempt of ours.
    const isOurs = earlier !== undefined && !isBlocked(definitionIn(earlier.definition))
    return { name, physical, uuid, clone, definition: textOf(isOurs ? withoutBlock(definition) : definition) }
  }

  #asideOf({ physical, name, clone }: Goes, { ours }: Found): string | undefined {
    const aside = physical === name ? clone : physical
    return ours.has(aside) ? aside : undefined
  }

  #lost({ name }: Goes): EnvError {
    return new EnvError('damaged', `${this.#context.name}: what was set aside of ${name} is gone`)
  }

  #throw(goes: Goes): never {
    throw this.#lost(goes)
  }

  /** Of what stays: what was written to, changed or removed since it was compared. */
  async #changed({ live }: Found): Promise<string[]> {
    const { equal } = this.#staged
    const there = equal.flatMap(({ name }) => live.get(name) ?? [])
    const evidence = await evidenceOf(this.#client, there)
    return equal
      .filter((each) => {
        const index = live.get(each.name)
        return !index || evidence.get(index.physical) !== each.evidence || textOf(index.definition) !== each.definition
      })
      .map(({ name }) => name)
  }

  async #stageMore(names: readonly string[]): Promise<void> {
    if (names.length === 0) return
    const { id, equal, parts } = this.#staged
    const [client, context, source] = [this.#client, this.#context, this.#source]
    if (!source) throw new EnvError('bug', `${context.name}: nothing to stage from`)
    const loader = { client, product: await findProduct(client), context, source, id, progress: () => {} }
    const more: Part[] = []
    for (const each of equal.filter(({ name }) => names.includes(name))) {
      more.push(await stageIndex(loader, definitionIn(each.definition), each))
    }
    const left = equal.filter(({ name }) => !names.includes(name))
    this.#staged = { ...this.#staged, parts: [...parts, ...more], equal: left }
  }

  #trace(step: string): void {
    this.#context.trace(`${this.#context.name}: ${step}`)
  }
}
