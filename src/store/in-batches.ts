/** Runs `work` on every item, at most `atOnce` at a time; stops at the first failure and throws it once all that ran have ended. */
export async function inBatches<Item>(
  items: Iterable<Item>,
  atOnce: number,
  work: (item: Item) => Promise<void>,
): Promise<void> {
  const iterator = items[Symbol.iterator]()
  let failed = false
  const lane = async () => {
    while (!failed) {
      const next = iterator.next()
      if (next.done) return
      try {
        await work(next.value)
      } catch (error) {
        failed = true
        throw error
      }
    }
  }
  const results = await Promise.allSettled(Array.from({ length: atOnce }, lane))
  for (const result of results) if (result.status === 'rejected') throw result.reason
}
