import type { Entry } from './held-queue.ts'

/** Whether the first are among the second, in their order where the queue keeps one: others may have published in between. */
export function isWithin(wanted: readonly string[], found: readonly string[], isAnyOrder: boolean): boolean {
  if (isAnyOrder) return isWithin(wanted.toSorted(), found.toSorted(), false)
  let next = 0
  for (const each of found) if (each === wanted[next]) next++
  return next === wanted.length
}

/** Those among the entries that are one of these; of equal messages one is as good as another. */
export function amongThese(entries: readonly Entry[], digests: readonly string[]): Set<Entry> {
  const left = new Map<string, number>()
  for (const digest of digests) left.set(digest, (left.get(digest) ?? 0) + 1)
  return new Set(
    entries.filter(({ digest }) => {
      const count = left.get(digest) ?? 0
      if (count > 0) left.set(digest, count - 1)
      return count > 0
    }),
  )
}
