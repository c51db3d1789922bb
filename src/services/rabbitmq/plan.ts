import type { Staged } from '../../domain/swap.ts'
import { type Definitions, keys, noDefinitions, sameDefinition } from './definitions.ts'

/** What turns one set of definitions into another. `anew`: of a name that is there, but not as it should be; RabbitMQ changes no queue and no exchange. */
export type Plan = {
  readonly create: Definitions
  readonly drop: Definitions
  readonly anew: { readonly queues: readonly string[]; readonly exchanges: readonly string[] }
}

export function planOf(have: Definitions, want: Definitions): Plan {
  const create = missing(want, have)
  const drop = missing(have, want)
  const anew = {
    queues: changed(want.queues, have.queues),
    exchanges: changed(want.exchanges, have.exchanges),
  }
  return { create: { ...create, policies: changedPolicies(want, have) }, drop, anew }
}

/** What is in the first and, by its key, not in the second. */
function missing(of: Definitions, not: Definitions): Definitions {
  const lacking = <T>(items: readonly T[], others: readonly T[], key: (item: T) => string) => {
    const there = new Set(others.map(key))
    return items.filter((item) => !there.has(key(item)))
  }
  return {
    queues: lacking(of.queues, not.queues, keys.queues),
    exchanges: lacking(of.exchanges, not.exchanges, keys.exchanges),
    bindings: lacking(of.bindings, not.bindings, keys.bindings),
    policies: lacking(of.policies, not.policies, keys.policies),
  }
}

function changed<T extends { readonly name: string }>(want: readonly T[], have: readonly T[]): string[] {
  const there = new Map(have.map((each) => [each.name, each]))
  return want
    .filter((each) => there.has(each.name) && !sameDefinition(there.get(each.name), each))
    .map(({ name }) => name)
}

/** A policy can be written over. */
function changedPolicies(want: Definitions, have: Definitions): Definitions['policies'] {
  return want.policies.filter((policy) => !have.policies.some((each) => sameDefinition(each, policy)))
}

/** The live definitions with only these queues, and what is bound to them, taken from others. */
export function onlyQueues(live: Definitions, target: Definitions, only: readonly string[]): Definitions {
  const absent = only.filter((name) => !live.queues.some((queue) => queue.name === name))
  const exchanges = new Set(live.exchanges.map(({ name }) => name))
  const isUsable = (source: string) => source.startsWith('amq.') || exchanges.has(source)
  return {
    ...live,
    queues: [...live.queues, ...target.queues.filter(({ name }) => absent.includes(name))],
    bindings: [
      ...live.bindings,
      ...target.bindings.filter(
        ({ source, destination, destination_type }) =>
          destination_type === 'queue' && absent.includes(destination) && isUsable(source),
      ),
    ],
  }
}

/** As it was before this restore began to change definitions, where it was cut short: queues, exchanges and policies go later than that. */
export function asBefore(live: Definitions, plan: Plan | null): Definitions {
  if (!plan) return live
  const left = missing(live, { ...plan.create, policies: [] })
  return { ...left, bindings: [...left.bindings, ...missing(plan.drop, live).bindings], policies: live.policies }
}

/** Whether definitions of the plan are made already, or gone. */
export function isBegun(plan: Plan, now: Definitions, isPartial: boolean): boolean {
  const left = planOf(now, merge(now, plan.create)).create
  const gone = planOf(now, merge(now, { ...noDefinitions, bindings: plan.drop.bindings })).create
  return count(left) < count(plan.create) || (!isPartial && count(gone) > 0)
}

function merge(a: Definitions, b: Definitions): Definitions {
  const of = <T extends { readonly name: string }>(first: readonly T[], second: readonly T[]) => [
    ...first.filter(({ name }) => !second.some((each) => each.name === name)),
    ...second,
  ]
  return {
    queues: of(a.queues, b.queues),
    exchanges: of(a.exchanges, b.exchanges),
    bindings: [...a.bindings, ...b.bindings],
    policies: of(a.policies, b.policies),
  }
}

function count({ queues, exchanges, bindings, policies }: Definitions): number {
  return queues.length + exchanges.length + bindings.length + policies.length
}

/** What the journal keeps of a staged restore. */
export type StagedVhost = {
  readonly way: 'ahead'
  readonly warnings: readonly string[]
  readonly id: string
  readonly only: readonly string[] | null
  readonly targetAbsent: boolean
  readonly liveAbsent: boolean
  /** From the last capture on. */
  readonly capture: number | null
  readonly plan: Plan | null
  /** Queues whose messages differ. */
  readonly exchange: readonly string[]
}

export function asStaged(staged: StagedVhost): Staged {
  return staged as unknown as Staged
}

export function fromStaged(staged: Staged): StagedVhost {
  return staged as unknown as StagedVhost
}
