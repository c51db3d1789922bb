import type { ContentSink } from '../../domain/content.ts'
import { EnvError } from '../../domain/errors.ts'
import type { ServiceRecord } from '../../domain/manifest.ts'
import type { Staged, SwapState } from '../../domain/swap.ts'
import type { ServiceContext, ServiceSwap } from '../service-driver.ts'
import { recordBefore } from './before.ts'
import { create, definitionIn, drop, type Found, findCollections, rename, textOf } from './collections.ts'
import { freeName, lateName, nameOf } from './names.ts'
import { namespaceExists, type Shell, serverCode } from './shell.ts'
import { asStaged, dropOf, type Goes, type Part, type StagedCollections } from './stage.ts'

/** How often a writer may make a collection at a name right when that is given away. */
const mostTries = 100

/**
 * Swaps by two renames a collection, each atomic: what is live to its set-aside name, then what is staged to the live one. Where it stands is told by the
 * uuids of what has the names.
 */
export class MongoSwap implements ServiceSwap {
  #staged: StagedCollections
  readonly #shell: Shell
  readonly #context: ServiceContext

  constructor(staged: StagedCollections, shell: Shell, context: ServiceContext) {
    this.#staged = staged
    this.#shell = shell
    this.#context = context
  }

  async inspect(): Promise<SwapState> {
    return this.#stateIn(await findCollections(this.#shell))
  }

  /** Starts mongosh, which takes a second. */
  async prepare(): Promise<void> {
    await this.#shell.command({ ping: 1 })
  }

  /** Nobody waits: a writer goes to what has the name at that moment. */
  async hold(): Promise<void> {}

  async release(): Promise<void> {}

  async lastCapture(): Promise<Staged> {
    const found = await findCollections(this.#shell)
    if (this.#stateIn(found) === 'after') return asStaged(this.#staged)
    const { id, views } = this.#staged
    const goes = (this.#staged.goes ?? []).filter((each) => isThere(found, each))
    for (const [name, { uuid }] of found.live) {
      if (!this.#isMeant(name) || this.#isPart(uuid) || goes.some((each) => each.uuid === uuid)) continue
      const isTaken = (aside: string) => found.ours.has(aside) || goes.some((each) => each.aside === aside)
      goes.push({ name, uuid, aside: freeName(nameOf(id, 'old', ''), isTaken) })
    }
    const viewsBefore = views === null ? {} : { viewsBefore: this.#viewsBefore(found, views) }
    this.#staged = { ...this.#staged, goes, ...viewsBefore }
    this.#trace('last capture')
    return asStaged(this.#staged)
  }

  /** As they are; what the swap has changed already, as it was before. */
  #viewsBefore(found: Found, views: readonly string[]): string[] {
    const earlier = this.#staged.viewsBefore ?? []
    const now = textsIn(found).filter((text) => !this.#staged.viewsBefore || ![...earlier, ...views].includes(text))
    return [...earlier, ...now]
  }

  async forward(): Promise<void> {
    if (this.#staged.goes === undefined) await this.lastCapture()
    const { parts, goes = [], views, viewsBefore } = this.#staged
    const found = await findCollections(this.#shell)
    await this.#dropViews(found, { stay: views, go: viewsBefore })
    for (const name of namesOf(goes, parts)) {
      for (const each of goes) if (each.name === name) await this.#setAside(each, found)
      for (const part of parts) if (part.name === name) await this.#bring(part, found)
    }
    await this.#makeViews(found, views)
  }

  async #setAside({ name, aside, uuid }: Goes, found: Found): Promise<void> {
    if (found.live.get(name)?.uuid === uuid) {
      await rename(this.#shell, name, aside)
      this.#trace(`${name} set aside`)
    } else if (!found.ours.has(aside)) throw this.#changed(name)
  }

  async #bring({ name, staged }: Part, found: Found): Promise<void> {
    // Not there: it has its name already.
    if (!found.ours.has(staged)) return
    await this.#place(name, () => rename(this.#shell, staged, name))
    this.#trace(`${name} swapped`)
  }

  async back(): Promise<void> {
    const { parts, goes = [], views, viewsBefore } = this.#staged
    if (this.#staged.goes === undefined) return
    const found = await findCollections(this.#shell)
    await this.#dropViews(found, { stay: viewsBefore, go: views })
    for (const name of namesOf(goes, parts)) {
      for (const part of parts) if (part.name === name) await this.#takeBack(part, found)
      for (const each of goes) if (each.name === name) await this.#return(each, found)
    }
    await this.#makeViews(found, viewsBefore)
  }

  async #takeBack({ name, staged, uuid }: Part, found: Found): Promise<void> {
    if (found.live.get(name)?.uuid !== uuid) return
    await rename(this.#shell, name, staged)
    this.#trace(`${name} taken back`)
  }

  async #return({ name, aside }: Goes, found: Found): Promise<void> {
    if (!found.ours.has(aside) || !this.#isFirst(name, aside)) return
    await this.#place(name, () => rename(this.#shell, aside, name))
    this.#trace(`${name} put back`)
  }

  /** Of a name that a writer made anew in the middle of a swap, there are several; the first is what had the name before. */
  #isFirst(name: string, aside: string): boolean {
    return this.#staged.goes?.find((each) => each.name === name)?.aside === aside
  }

  /** A writer that finds no collection makes one: it is set aside too, as often as that happens. */
  async #place(name: string, give: () => Promise<void>): Promise<void> {
    for (let tries = 0; tries < mostTries; tries++) {
      try {
        return await give()
      } catch (error) {
        if (serverCode(error) !== namespaceExists) throw error
      }
      const { ours, live } = await findCollections(this.#shell)
      if (!live.has(name)) continue
      await rename(
        this.#shell,
        name,
        freeName(lateName(this.#staged.id, name), (each) => ours.has(each)),
      )
      this.#trace(`${name}, made by a writer meanwhile, set aside`)
    }
    throw this.#changed(name)
  }

  async readBack(): Promise<void> {
    if ((await this.inspect()) === 'after') return
    throw new EnvError('damaged', `${this.#context.name}: the collections are not those that were restored`)
  }

  before(sink: ContentSink, safety: ServiceRecord): Promise<ServiceRecord> {
    return recordBefore({ shell: this.#shell, context: this.#context, staged: this.#staged, sink, safety })
  }

  async discard(): Promise<void> {
    await dropOf(this.#shell, this.#staged.id)
    this.#trace('discarded')
  }

  #stateIn(found: Found): SwapState {
    const { parts, goes, views, viewsBefore } = this.#staged
    const isPlaced = ({ name, uuid }: Part) => found.live.get(name)?.uuid === uuid
    const leaving = goes ?? [...found.live].filter(([name]) => this.#isMeant(name)).map(([, { uuid }]) => ({ uuid }))
    const live = new Set([...found.live.values()].map(({ uuid }) => uuid))
    const hasLeft = leaving.every(({ uuid }) => !live.has(uuid) || this.#isPart(uuid))
    if (parts.every(isPlaced) && hasLeft && isSame(found, views)) return 'after'
    const isAside = ({ name, aside }: Goes) => found.ours.has(aside) && this.#isFirst(name, aside)
    if (parts.some(isPlaced) || goes?.some(isAside)) return 'between'
    return viewsBefore === undefined || isSame(found, viewsBefore) ? 'before' : 'between'
  }

  /** A view holds no data: its definition is in the journal. */
  async #dropViews(found: Found, texts: { readonly [of in 'stay' | 'go']: readonly string[] | null | undefined }) {
    if (this.#staged.views === null) return
    for (const [name, view] of found.views) {
      const text = textOf(view)
      if (texts.stay?.includes(text)) continue
      if (!texts.go?.includes(text)) throw this.#changed(name)
      await drop(this.#shell, name)
      this.#trace(`view ${name} dropped`)
    }
  }

  async #makeViews(found: Found, texts: readonly string[] | null | undefined): Promise<void> {
    const there = textsIn(found)
    for (const text of texts ?? []) {
      if (there.includes(text)) continue
      const view = definitionIn(text)
      await this.#place(view.name, () => create(this.#shell, view.name, view))
      this.#trace(`view ${view.name} made`)
    }
  }

  #isMeant(name: string): boolean {
    const { only } = this.#staged
    return only === null || only.includes(name)
  }

  #isPart(uuid: string): boolean {
    return this.#staged.parts.some((part) => part.uuid === uuid)
  }

  #changed(name: string): EnvError {
    return new EnvError('busy', `${this.#context.name}: ${name} was dropped or made anew right before the swap`, {
      hint: 'run the command again',
    })
  }

  #trace(step: string): void {
    this.#context.trace(`${this.#context.name}: ${step}`)
  }
}

function namesOf(goes: readonly Goes[], parts: readonly Part[]): Set<string> {
  return new Set([...goes, ...parts].map(({ name }) => name))
}

function textsIn({ views }: Found): string[] {
  return [...views.values()].map(textOf)
}

function isSame(found: Found, views: readonly string[] | null): boolean {
  if (views === null) return true
  return textsIn(found).sort().join('\n') === views.toSorted().join('\n')
}

function isThere({ live, ours }: Found, { name, aside, uuid }: Goes): boolean {
  return ours.has(aside) || live.get(name)?.uuid === uuid
}
