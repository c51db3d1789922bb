import type { Definitions } from './definitions.ts'

/** Whether what is published to this exchange with this key reaches this queue and nothing else. Says no where it cannot tell. */
export type LeadsOnlyTo = (exchange: string, routingKey: string, queue: string) => boolean

export function routesOf({ exchanges, bindings }: Definitions): LeadsOnlyTo {
  const kinds = new Map(exchanges.map(({ name, type }) => [name, type]))
  for (const kind of ['direct', 'fanout', 'topic']) kinds.set(`amq.${kind}`, kind)
  const from = new Map<string, Definitions['bindings'][number][]>()
  for (const binding of bindings) from.set(binding.source, [...(from.get(binding.source) ?? []), binding])
  return (exchange, routingKey, queue) => {
    if (exchange === '') return routingKey === queue
    const matches = matcher(kinds.get(exchange), routingKey)
    const hit = (from.get(exchange) ?? []).filter((binding) => matches?.(binding.routing_key))
    return (
      hit.length > 0 &&
      hit.every(({ destination, destination_type }) => destination_type === 'queue' && destination === queue)
    )
  }
}

function matcher(kind: string | undefined, key: string): ((pattern: string) => boolean) | undefined {
  if (kind === 'direct') return (pattern) => pattern === key
  if (kind === 'fanout') return () => true
  if (kind !== 'topic') return undefined
  const words = key.split('.')
  return (pattern) => topicMatches(pattern.split('.'), words)
}

/** `*` stands for one word, `#` for any number of them. */
function topicMatches(pattern: readonly string[], words: readonly string[]): boolean {
  const [first, ...rest] = pattern
  if (first === undefined) return words.length === 0
  if (first === '#') return topicMatches(rest, words) || (words.length > 0 && topicMatches(pattern, words.slice(1)))
  return words.length > 0 && (first === '*' || first === words[0]) && topicMatches(rest, words.slice(1))
}
