import { compareTreePaths, type TreeEntry } from '../../domain/tree.ts'
import type { LiveEntry } from './walk.ts'

export type LinedUp = {
  readonly path: string
  readonly target?: TreeEntry
  readonly live?: LiveEntry
  readonly safety?: TreeEntry
}

/** Three trees side by side: every path of any of them, in the order of a listing, with what it is in each. */
export async function* lineUp(
  target: AsyncIterable<TreeEntry>,
  live: Iterable<LiveEntry>,
  safety: AsyncIterable<TreeEntry>,
): AsyncGenerator<LinedUp> {
  const targets = target[Symbol.asyncIterator]()
  const lives = live[Symbol.iterator]()
  const safeties = safety[Symbol.asyncIterator]()
  let t = await targets.next()
  let l = lives.next()
  let s = await safeties.next()
  while (!t.done || !l.done || !s.done) {
    const path = first(
      first(t.done ? undefined : t.value.path, l.done ? undefined : l.value.path),
      s.done ? undefined : s.value.path,
    )!
    const hasTarget = !t.done && t.value.path === path
    const hasLive = !l.done && l.value.path === path
    const hasSafety = !s.done && s.value.path === path
    yield {
      path,
      ...(hasTarget ? { target: t.value } : {}),
      ...(hasLive ? { live: l.value } : {}),
      ...(hasSafety ? { safety: s.value } : {}),
    }
    if (hasTarget) t = await targets.next()
    if (hasLive) l = lives.next()
    if (hasSafety) s = await safeties.next()
  }
}

function first(a: string | undefined, b: string | undefined): string | undefined {
  if (a === undefined) return b
  return b === undefined || compareTreePaths(a, b) <= 0 ? a : b
}
