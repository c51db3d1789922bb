import type { ServiceContext } from '../service-driver.ts'
import { DefinitionWriter, readVhost, type VhostDefinition } from './definitions.ts'
import type { Link } from './link.ts'

/** A vhost that a restore makes or deletes. Its description is a note of ours until it is whole, so that a crash leaves no doubt. */
export class VhostLife {
  readonly #link: Link
  readonly #context: ServiceContext
  readonly #note: string

  constructor(link: Link, context: ServiceContext, id: string) {
    this.#link = link
    this.#context = context
    this.#note = `git-env ${id}`
  }

  async isUnfinished(): Promise<boolean> {
    const { management, broker } = this.#link
    return (await readVhost(management, broker.vhost))?.description === this.#note
  }

  async make(vhost: VhostDefinition | null): Promise<void> {
    const wanted = this.#orUsual(vhost)
    await this.#writer.vhost(wanted, this.#note)
    this.#context.trace(`${this.#context.name}: vhost made`)
    await this.#writer.permissions(wanted)
  }

  async finish(vhost: VhostDefinition | null): Promise<void> {
    await this.#writer.vhost(this.#orUsual(vhost))
    this.#context.trace(`${this.#context.name}: vhost is whole`)
  }

  async drop(): Promise<void> {
    await this.#writer.dropVhost()
    this.#context.trace(`${this.#context.name}: vhost deleted`)
  }

  get #writer(): DefinitionWriter {
    return new DefinitionWriter(this.#link.management, this.#link.broker)
  }

  /** Where no administrator took the snapshot: with all rights for ourselves. */
  #orUsual(vhost: VhostDefinition | null): VhostDefinition {
    const all = '.*'
    const ours = { user: this.#link.broker.user, configure: all, write: all, read: all }
    return vhost ?? { description: '', tags: [], permissions: [ours] }
  }
}
