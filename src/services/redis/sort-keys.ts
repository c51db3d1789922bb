const shortRun = 10

/**
 * The numbers of byte strings within one buffer, in the order of their bytes and, where they are equal, of their numbers. Byte after byte:
 * keys begin alike, and comparing each with each from the front took most of a snapshot's time.
 */
export function sortKeys(
  bytes: Uint8Array,
  starts: readonly number[],
  lengths: readonly number[],
  offset: number,
): Uint32Array {
  const order = new Uint32Array(starts.length)
  for (let nr = 0; nr < order.length; nr++) order[nr] = nr
  const byteAt = (nr: number, depth: number) => (depth < lengths[nr]! ? bytes[starts[nr]! + offset + depth]! : -1)

  const isBefore = (a: number, b: number, from: number) => {
    for (let depth = from; ; depth++) {
      const [x, y] = [byteAt(a, depth), byteAt(b, depth)]
      if (x !== y) return x < y
      if (x < 0) return a < b
    }
  }

  const insert = (low: number, high: number, depth: number) => {
    for (let i = low + 1; i < high; i++) {
      const nr = order[i]!
      let at = i
      while (at > low && isBefore(nr, order[at - 1]!, depth)) {
        order[at] = order[at - 1]!
        at--
      }
      order[at] = nr
    }
  }

  const sort = (from: number, to: number, at: number) => {
    let [low, high, depth] = [from, to, at]
    while (high - low > shortRun) {
      const pivot = byteAt(order[(low + high) >> 1]!, depth)
      let [less, greater] = [low, high]
      for (let i = low; i < greater; ) {
        const nr = order[i]!
        const byte = byteAt(nr, depth)
        if (byte < pivot) {
          order[i++] = order[less]!
          order[less++] = nr
        } else if (byte > pivot) {
          order[i] = order[--greater]!
          order[greater] = nr
        } else i++
      }
      sort(low, less, depth)
      sort(greater, high, depth)
      if (pivot < 0) {
        order.subarray(less, greater).sort()
        return
      }
      low = less
      high = greater
      depth++
    }
    insert(low, high, depth)
  }
  sort(0, order.length, 0)
  return order
}
