import type { ContentSource } from '../domain/content.ts'
import { environmentOf } from '../domain/environment.ts'
import { EnvError } from '../domain/errors.ts'
import type { Journal, Participant } from '../domain/journal.ts'
import type { Swap } from '../domain/swap.ts'
import type { Service } from '../services/service-driver.ts'
import { type Direction, type Finished, JournalRun } from './journal-run.ts'
import type { Bound } from './keep-before.ts'
import { openReserved } from './reservations.ts'
import { type ConfiguredWorkspace, configure, openStore, type Workspace } from './workspace.ts'

/** The command lets go of what it had reserved right before its guard reserves it. */
const reservationWaitMs = 10_000

/**
 * Carries a staged restore to its end, or back. The same function serves the guard of a running restore and the recovery of one that was
 * cut short: every step is judged by looking at the target, so it may begin anywhere and again.
 */
export async function finishJournal(
  workspace: Workspace,
  journal: Journal,
  wish: Direction,
  isCancelled: () => boolean = () => false,
): Promise<Finished> {
  const configured = await configure(
    { ...workspace, environment: environmentOf(journal.ref ?? undefined) },
    journal.config,
  )
  const options = { command: journal.operation, waitMs: reservationWaitMs }
  const { services, close } = await openReserved(configured, journal.services, options)
  try {
    const bound = await bind(configured, journal, services)
    return await new JournalRun(configured, journal, services, bound, isCancelled).run(wish)
  } finally {
    await close()
  }
}

/** In the order of the swap. */
async function bind(
  workspace: ConfiguredWorkspace,
  { participants }: Journal,
  services: readonly Service[],
): Promise<Bound[]> {
  // Opened when first read from: a way back must not need the store.
  const source: ContentSource = {
    async *read(content) {
      yield* (await openStore(workspace)).read(content)
    },
  }
  const open = (participant: Participant): Swap | Promise<Swap> => {
    if (participant.kind === 'code') return workspace.git.code.swap(participant.staged, workspace.ports.trace)
    const service = services.find((each) => each.name === participant.name)
    if (!service) throw new EnvError('bug', `the journal names ${participant.name}, which was not opened`)
    return service.swap(participant.staged, source)
  }
  const bound: Bound[] = []
  for (const participant of inSwapOrder(participants)) bound.push({ participant, swap: await open(participant) })
  return bound
}

function inSwapOrder(participants: readonly Participant[]): Participant[] {
  const rank = { ahead: 0, 'in place': 1, code: 2, rename: 3 }
  return participants.toSorted((a, b) => rank[a.order] - rank[b.order])
}
