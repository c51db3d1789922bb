import { setTimeout as sleep } from 'node:timers/promises'
import { EnvError } from '../../domain/errors.ts'
import type { ServiceContext } from '../service-driver.ts'
import type { Connection } from './connection.ts'
import { type Definitions, DefinitionWriter, readLive } from './definitions.ts'
import type { Holding } from './holding.ts'
import type { Link } from './link.ts'
import { part } from './management.ts'
import { declareMarkQueue, type Mark, readMark, writeMark } from './mark.ts'
import type { MessageSet } from './message-set.ts'
import { digestOf } from './messages.ts'
import type { OwnNames } from './names.ts'
import { type Plan, planOf } from './plan.ts'
import { hasMoreRoutes } from './properties.ts'
import { routesOf } from './routes.ts'

const blockedMs = 30_000
/** So many messages are sent before we look whether the broker keeps up. */
const burst = 200

export type Exchange = {
  readonly link: Link
  readonly context: ServiceContext
  readonly holding: Holding
  readonly names: OwnNames
  readonly to: Mark['to']
  readonly capture: number
  /** The vhost is made by this. */
  readonly isNew: boolean
  /** What shall be there. */
  readonly want: { readonly definitions: Definitions; readonly messages: MessageSet }
  /** Queues whose messages are exchanged. */
  readonly queues: ReadonlySet<string>
  /** Whether definitions that are not wanted go. */
  readonly drops: boolean
  /** Queues that are made anew, as planned before anything was changed. */
  readonly anew: readonly string[]
  /** Keeps, durable, what has come since the last capture: it is in our hands, and its queue goes. */
  readonly keepMore: (queues: ReadonlySet<string>) => Promise<void>
}

/** What was published for each queue, to be compared with what comes back. */
export type Published = Map<string, string[]>

/**
 * Makes the vhost what it shall be. Messages are exchanged in one transaction of the broker, old ones acknowledged and new ones published, with the mark
 * that tells how far we are: whenever this process dies, either all of it has happened or nothing. Definitions are made before, and those that go, after it.
 */
export async function exchange(task: Exchange): Promise<Published> {
  const { link, context, holding, names, to } = task
  const published: Published = new Map()
  const mark = await readMark(holding.channel, names.markQueue)
  if (mark?.to === to && mark.phase === 2) return published
  const publishes = to === 'target' || mark?.to === 'target' || task.isNew
  const isBegun = mark?.to === to && mark.phase === 1
  const have = (await readLive(link)).definitions
  const plan = planOf(have, task.want.definitions)
  const anew = new Set([...task.anew, ...plan.anew.queues])
  const hasMore =
    anew.size > 0 ||
    plan.anew.exchanges.length > 0 ||
    (task.drops && (plan.drop.queues.length > 0 || plan.drop.exchanges.length > 0))
  const now = [...task.queues].filter((queue) => !anew.has(queue))
  if (!isBegun) {
    await makeMissing(task, plan, anew)
    await makeWays(task, now)
    context.trace(`${context.name}: definitions made`)
    // Nothing was exchanged: on the way back only definitions are.
    if (publishes) {
      const gone = task.drops ? plan.drop.queues.map(({ name }) => name) : []
      const acknowledged = new Set([...task.queues, ...gone, ...anew].filter((queue) => holding.has(queue)))
      await commit(task, {
        acknowledged,
        publish: now.filter((queue) => task.want.messages.find(queue)),
        phase: hasMore ? 1 : 2,
        published,
      })
      context.trace(`${context.name}: messages exchanged`)
    }
  }
  if (!isBegun && !hasMore) return published
  await makeRest(task, plan, anew)
  context.trace(`${context.name}: queues made anew`)
  const again = [...task.queues].filter((queue) => anew.has(queue) && task.want.messages.find(queue))
  await makeWays(task, again)
  if (publishes || isBegun) await commit(task, { acknowledged: new Set(), publish: again, phase: 2, published })
  context.trace(`${context.name}: all messages exchanged`)
  return published
}

/** What can be added without taking anything away; bindings that are not wanted go here, so that no message takes their way. */
async function makeMissing({ link, drops }: Exchange, plan: Plan, anew: ReadonlySet<string>): Promise<void> {
  const writer = new DefinitionWriter(link.management, link.broker)
  for (const each of plan.create.exchanges) await writer.exchange(each)
  for (const each of plan.create.queues) if (!anew.has(each.name)) await writer.queue(each)
  for (const each of plan.create.policies) await writer.policy(each)
  const waits = new Set([...anew, ...plan.anew.exchanges])
  for (const each of plan.create.bindings) {
    if (!waits.has(each.destination) && !waits.has(each.source)) await writer.binding(each)
  }
  if (drops) for (const each of plan.drop.bindings) await writer.dropBinding(each)
}

/** Queues and exchanges that go or are made anew. What came to such a queue meanwhile is kept first. */
async function makeRest(task: Exchange, plan: Plan, anew: ReadonlySet<string>): Promise<void> {
  const { link, holding, want, drops } = task
  const writer = new DefinitionWriter(link.management, link.broker)
  const going = [...(drops ? plan.drop.queues.map(({ name }) => name) : []), ...plan.anew.queues]
  if (going.length > 0) {
    await holding.cut()
    await task.keepMore(new Set(going))
  }
  for (const name of going) {
    await writer.dropQueue(name)
    holding.forget(name)
  }
  for (const name of plan.anew.exchanges) await writer.dropExchange(name)
  for (const each of want.definitions.exchanges)
    if (plan.anew.exchanges.includes(each.name)) await writer.exchange(each)
  for (const each of want.definitions.queues) if (anew.has(each.name)) await writer.queue(each)
  const touched = new Set([...anew, ...plan.anew.exchanges])
  for (const each of want.definitions.bindings) {
    if (touched.has(each.destination) || touched.has(each.source)) await writer.binding(each)
  }
  if (!drops) return
  for (const each of plan.drop.exchanges) await writer.dropExchange(each.name)
  for (const each of plan.drop.policies) await writer.dropPolicy(each.name)
}

/** For each queue that needs one, an exchange by which messages reach it alone, whatever their routing key; and the queue of the mark. */
async function makeWays({ link, names, want }: Exchange, queues: readonly string[]): Promise<void> {
  const { management, broker } = link
  await declareMarkQueue(link, names.markQueue)
  for (const queue of queues) {
    if (want.messages.find(queue)?.isPlain ?? true) continue
    const name = names.exchangeTo(queue)
    const at = part(broker.vhost)
    await management.put(`exchanges/${at}/${part(name)}`, {
      type: 'fanout',
      durable: true,
      auto_delete: false,
      internal: false,
      arguments: {},
    })
    await management.post(`bindings/${at}/e/${part(name)}/q/${part(queue)}`, { routing_key: '', arguments: {} })
  }
}

type Commit = {
  readonly acknowledged: ReadonlySet<string>
  readonly publish: readonly string[]
  readonly phase: 1 | 2
  readonly published: Published
}

async function commit(task: Exchange, { acknowledged, publish, phase, published }: Commit): Promise<void> {
  const { link, holding, names, want, to, capture, context, isNew } = task
  const { channel, connection } = holding
  const leadsOnlyTo = routesOf((await readLive(link)).definitions)
  let returned: string | undefined
  channel.onReturn = ({ routingKey }) => {
    returned = routingKey
  }
  let sent = 0
  for (const queue of publish) {
    const digests: string[] = []
    for await (const { exchange: known, routingKey, properties, body } of want.messages.messages(queue)) {
      const isDirect = known !== undefined && !hasMoreRoutes(properties) && leadsOnlyTo(known, routingKey, queue)
      channel.publish({ exchange: isDirect ? known : names.exchangeTo(queue), routingKey, properties, body })
      digests.push(digestOf({ routingKey, properties, body }))
      if (++sent % burst === 0) await awake(context.name, connection, connection.drain())
    }
    published.set(queue, digests)
  }
  holding.acknowledge(acknowledged)
  // On the way back the last mark goes: as if nothing had been exchanged.
  const old = await channel.get(names.markQueue)
  writeMark(
    channel,
    names.markQueue,
    old,
    to === 'before' && phase === 2 && !isNew ? undefined : { to, phase, capture },
  )
  await awake(context.name, connection, channel.commit())
  if (returned === undefined) return
  throw new EnvError('damaged', `${context.name}: a message with the routing key ${returned} reached no queue`, {
    hint: 'somebody has changed bindings meanwhile; run the command again',
  })
}

/** Takes away what came since, with the mark that tells where it is kept. */
export async function commitLate(
  name: string,
  holding: Holding,
  { markQueue }: OwnNames,
  queues: Iterable<string>,
  mark: Mark,
): Promise<void> {
  const { channel, connection } = holding
  holding.acknowledge(queues)
  writeMark(channel, markQueue, await channel.get(markQueue), mark)
  await awake(name, connection, channel.commit())
}

/** A broker that is out of memory or disk takes nothing and says nothing more: that is not waited for for ever. */
async function awake<T>(name: string, connection: Connection, work: Promise<T>): Promise<T> {
  let isDone = false
  const done = work.finally(() => {
    isDone = true
  })
  const watch = async (): Promise<never> => {
    for (let since = performance.now(); ; await sleep(50)) {
      if (isDone) return new Promise(() => {})
      if (!connection.isBlocked) since = performance.now()
      if (performance.now() - since > blockedMs) {
        throw new EnvError('unavailable', `${name}: the broker takes no messages: it is short of memory or disk`, {
          hint: 'rabbitmq-diagnostics alarms',
        })
      }
    }
  }
  return Promise.race([done, watch()])
}
