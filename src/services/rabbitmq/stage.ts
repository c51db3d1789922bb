import path from 'node:path'
import type { ContentSource } from '../../domain/content.ts'
import { EnvError } from '../../domain/errors.ts'
import type { ServiceRecord } from '../../domain/manifest.ts'
import type { Staged } from '../../domain/swap.ts'
import type { ServiceContext, StageOptions } from '../service-driver.ts'
import type { Broker } from './broker.ts'
import type { Definitions } from './definitions.ts'
import type { Link } from './link.ts'
import { MessageSet, type SetIndex } from './message-set.ts'
import { decodeMessages } from './messages.ts'
import { ownNames } from './names.ts'
import { asStaged, planOf } from './plan.ts'
import { userIdOf } from './properties.ts'
import { definitionsStream, factsOf, queueOf } from './record.ts'
import { Spool } from './spool.ts'

export type Staging = { readonly target: ServiceRecord; readonly live: ServiceRecord; readonly options: StageOptions }

/** Everything is written into a folder of ours and compared; a broker has no place beside a queue from which its messages could be moved. */
export async function stageVhost(
  link: Link,
  context: ServiceContext,
  { target, live, options }: Staging,
): Promise<Staged> {
  const { source, id, only } = options
  const { directory } = ownNames(id, context.name, context.privateDirectory)
  if (target.presence === 'absent' || live.presence === 'absent') await requireAdministrator(link)
  const definitions = await readStored(target, source)
  const present = await readStored(live, source)
  refuseUnmakeable(context.name, {
    target: definitions,
    live: present,
    record: live,
    targetPresence: target.presence,
    only,
  })
  const wanted = only === undefined ? undefined : new Set(only)
  for (const name of wanted ?? []) {
    if (target.streams.some((stream) => queueOf(stream.name) === name)) continue
    throw new EnvError('not-found', `${context.name}: the snapshot holds no messages of a queue ${name}`, {
      hint: 'git env show lists the queues',
    })
  }
  const queues: SetIndex['queues'][number][] = []
  const checkUser = await userCheck(link)
  for (const stream of target.streams) {
    const name = queueOf(stream.name)
    if (name === undefined || (wanted && !wanted.has(name))) continue
    const file = `queue-${queues.length}`
    const spool = new Spool(path.join(directory, 'target', file))
    for await (const part of source.read(stream.content)) {
      context.signal.throwIfAborted()
      spool.append(Buffer.from(part))
      options.progress(part.length)
    }
    spool.sync()
    if (spool.sha256() !== stream.content.sha256)
      throw new EnvError('damaged', `${context.name}: ${stream.name} is not what was stored`)
    let count = 0
    let isPlain = true
    for await (const { exchange, properties } of decodeMessages(asynchronous(spool.read()))) {
      count++
      isPlain &&= exchange === ''
      checkUser(name, properties)
    }
    queues.push({ name, files: [file], count, sha256: spool.sha256(), isPlain })
    spool.close()
  }
  const vhost = target.presence === 'present' ? factsOf(target).vhost : null
  await MessageSet.write(path.join(directory, 'target'), { definitions, vhost, queues })
  context.trace(`${context.name}: staged`)
  return asStaged({
    way: 'ahead',
    warnings: warningsOf(definitions, present, target, live, only),
    id,
    only: only ?? null,
    targetAbsent: target.presence === 'absent',
    liveAbsent: live.presence === 'absent',
    capture: null,
    plan: null,
    exchange: [],
  })
}

async function readStored(record: ServiceRecord, source: ContentSource): Promise<Definitions> {
  const stream = record.streams.find(({ name }) => name === definitionsStream)
  const parts: Uint8Array[] = []
  if (stream) for await (const part of source.read(stream.content)) parts.push(part)
  if (!stream) return { queues: [], exchanges: [], bindings: [], policies: [] }
  return JSON.parse(Buffer.concat(parts).toString()) as Definitions
}

type Sides = {
  readonly target: Definitions
  readonly live: Definitions
  readonly record: ServiceRecord
  readonly targetPresence: ServiceRecord['presence']
  readonly only: readonly string[] | undefined
}

/** What undo could not make again is not taken away: queues whose messages were left alone. */
function refuseUnmakeable(name: string, { target, live, record, targetPresence, only }: Sides): void {
  const unread = record.presence === 'present' ? factsOf(record).unread : {}
  const { drop, anew } = planOf(live, target)
  const going = only
    ? []
    : targetPresence === 'absent'
      ? live.queues.map((queue) => queue.name)
      : [...drop.queues.map((queue) => queue.name), ...anew.queues]
  const first = going.find((queue) => unread[queue] !== undefined)
  if (first !== undefined) {
    throw new EnvError(
      'refused',
      `${name}: the queue ${first} would go, and undo could not bring its messages back: ${unread[first]}`,
      {
        hint: 'delete it by hand where it is not needed any more, or restore some queues only: --only <service>:<queue>',
      },
    )
  }
  const changed = anew.queues.find((queue) => only?.includes(queue))
  if (changed !== undefined) {
    throw new EnvError('refused', `${name}: the queue ${changed} is declared in another way than in the snapshot`, {
      hint: 'restore the whole service, which makes it anew',
    })
  }
}

function warningsOf(
  target: Definitions,
  live: Definitions,
  record: ServiceRecord,
  safety: ServiceRecord,
  only: readonly string[] | undefined,
): string[] {
  const warnings = ['restored messages are marked as redelivered, and times to live begin anew']
  const { anew, drop } = planOf(live, target)
  const going = [...anew.queues, ...drop.queues.map(({ name }) => name)]
  if (!only && record.presence === 'present' && going.length > 0)
    warnings.push(
      `${going.join(', ')}: deleted${anew.queues.length > 0 ? ' or made anew' : ''}; what is published to them in that moment reaches no queue`,
    )
  if (safety.presence === 'present' && record.presence === 'absent')
    warnings.push('the vhost is deleted; its connections end')
  return warnings
}

async function requireAdministrator({ management, broker }: Link): Promise<void> {
  const { tags, name } = await whoAmI({ management })
  if (tags.includes('administrator')) return
  throw new EnvError('refused', `${broker.name}: ${name} may not make or delete a vhost`, {
    hint: `rabbitmqctl set_user_tags '${broker.user}' administrator; or by hand: rabbitmqctl add_vhost '${broker.vhost}'`,
  })
}

export async function whoAmI({
  management,
}: Pick<Link, 'management'>): Promise<{ name: string; tags: readonly string[] }> {
  const me = await management.get<{ name?: string; tags?: string | string[] }>('whoami')
  const tags = me?.tags ?? []
  return { name: me?.name ?? '', tags: typeof tags === 'string' ? tags.split(',') : tags }
}

/** The broker takes a message that says which user it is from of that user alone. */
export async function userCheck(link: Link): Promise<(queue: string, properties: Buffer) => void> {
  const { broker } = link
  const { tags } = await whoAmI(link)
  const mayBeAnyone = tags.includes('impersonator')
  return (queue, properties) => {
    const user = userIdOf(properties)
    if (user === undefined || user === broker.user || mayBeAnyone) return
    throw new EnvError(
      'refused',
      `${broker.name}: a message in ${queue} says that it is from the user ${user}, and ${broker.user} may not publish such`,
      {
        hint: impersonate(broker, tags),
      },
    )
  }
}

function impersonate({ user }: Pick<Broker, 'user'>, tags: readonly string[]): string {
  return `rabbitmqctl set_user_tags '${user}' ${[...tags, 'impersonator'].filter(Boolean).join(' ')}`
}

async function* asynchronous(parts: Iterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  yield* parts
}
