import { EnvError, messageOf } from '../../domain/errors.ts'
import { plural } from '../../domain/format-text.ts'
import type { Probe } from '../service-driver.ts'
import { frozenRung, liveRung } from './capture.ts'
import { brokerVersion, type LiveDefinitions, readDefinitions, readVhost } from './definitions.ts'
import type { Link } from './link.ts'
import { part } from './management.ts'
import { whyUnread } from './readable.ts'
import { whoAmI } from './stage.ts'

/** What `status` and `doctor` say of a vhost. */
export async function probeVhost(link: Link): Promise<Probe> {
  const { management, broker } = link
  const connection = await link.openIfThere()
  if (!connection) return absentProbe(link)
  const { version, major } = await brokerVersion(management)
  const live = await readDefinitions(management, broker.vhost, major)
  const channel = await connection.channel()
  const counts = await Promise.all(live.queues.map(({ name }) => channel.countQueue(name)))
  const consumed = live.queues.filter((_, index) => counts[index]!.consumers > 0)
  const ready = counts.reduce((sum, count) => sum + count.ready, 0)
  const isFrozen = consumed.length === 0
  return {
    presence: 'present',
    summary: `RabbitMQ ${version}, ${plural(live.queues.length, 'queue')}, ${plural(ready, 'ready message')}, as ${broker.user}`,
    bytes: 0,
    versions: { rabbitmq: version },
    rung: isFrozen ? frozenRung : liveRung,
    ...(isFrozen
      ? {}
      : {
          advice: `to have all of one moment: stop the consumers of ${consumed[0]!.name}${consumed.length > 1 ? ` and ${consumed.length - 1} more` : ''}, by hooks: freeze and thaw`,
        }),
    swap: 'ahead',
    warnings: await warningsOf(link, live),
  }
}

async function warningsOf({ management, broker }: Link, live: LiveDefinitions): Promise<string[]> {
  const warnings: string[] = []
  for (const queue of live.queues) {
    const reason = whyUnread(queue, broker)
    if (reason !== undefined) warnings.push(`messages of ${queue.name} are not captured: ${reason}`)
  }
  const policies = await management.getIfAllowed(`policies/${part(broker.vhost)}`)
  if (policies === undefined)
    warnings.push(`policies are not captured: rabbitmqctl set_user_tags '${broker.user}' management policymaker`)
  if (!(await readVhost(management, broker.vhost)))
    warnings.push(
      `${broker.user} is no administrator: a vhost that is gone could not be made again, and its permissions are not captured`,
    )
  return warnings
}

async function absentProbe({ management, broker }: Link): Promise<Probe> {
  const base = {
    presence: 'absent' as const,
    summary: `no vhost ${broker.vhost}`,
    bytes: 0,
    versions: {},
    rung: 'frozen: nothing is there',
    swap: 'ahead' as const,
  }
  const me = await whoAmI({ management }).catch((error: unknown) => {
    if (error instanceof EnvError) return messageOf(error)
    throw error
  })
  if (typeof me !== 'string' && me.tags.includes('administrator')) return { ...base, warnings: [] }
  return {
    ...base,
    advice: `rabbitmqctl add_vhost '${broker.vhost}'; rabbitmqctl set_permissions -p '${broker.vhost}' '${broker.user}' '.*' '.*' '.*'`,
    warnings: [typeof me === 'string' ? me : `${broker.user} may not make it again`],
  }
}
