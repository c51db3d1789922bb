import { compareTreePaths, type TreeEntry } from './tree.ts'

export type TreePair = { readonly path: string; readonly before?: TreeEntry; readonly after?: TreeEntry }

/** Two listings side by side, in order: every path of either, with its entry in each. */
export async function* pairTrees(
  before: AsyncIterable<TreeEntry>,
  after: AsyncIterable<TreeEntry>,
): AsyncGenerator<TreePair> {
  const a = before[Symbol.asyncIterator]()
  const b = after[Symbol.asyncIterator]()
  let [x, y] = await Promise.all([a.next(), b.next()])
  while (!x.done || !y.done) {
    const order = x.done ? 1 : y.done ? -1 : compareTreePaths(x.value.path, y.value.path)
    const left: TreeEntry | undefined = order <= 0 ? x.value : undefined
    const right: TreeEntry | undefined = order >= 0 ? y.value : undefined
    yield { path: (left ?? right)!.path, ...(left ? { before: left } : {}), ...(right ? { after: right } : {}) }
    if (order <= 0) x = await a.next()
    if (order >= 0) y = await b.next()
  }
}

/** Whether two entries differ in what people mean by a change: kind, content, target, permissions, owner. Times do not count. */
export function differs(a: TreeEntry, b: TreeEntry): boolean {
  return (
    a.type !== b.type ||
    a.mode !== b.mode ||
    a.uid !== b.uid ||
    a.gid !== b.gid ||
    a.target !== b.target ||
    a.link !== b.link ||
    a.content?.sha256 !== b.content?.sha256
  )
}
