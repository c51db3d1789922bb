import { hash } from 'node:crypto'

/** Lines that one stream of rows has and the other has not. Each ends with its newline. */
export type RowDifference = { readonly side: 'only before' | 'only after'; readonly line: Uint8Array }

/** How far ahead it looks for the line at which both go on alike, the nearer the better. */
const windows = [4, 64, 512]
const newline = 10
/** Longer lines are compared by their digest: a text cannot hold a gigabyte. */
const longestText = 1 << 20

/**
 * What turns one stream of rows into another: taking away all that is only before and adding all that is only after gives the same rows, however
 * the two are ordered. Where both are in the order of a key it is few lines, and both are passed over about as fast as memory is compared.
 */
export async function* diffRows(
  before: AsyncIterable<Uint8Array>,
  after: AsyncIterable<Uint8Array>,
): AsyncGenerator<RowDifference> {
  const [a, b] = [new Lines(before), new Lines(after)]
  for (;;) {
    await Promise.all([a.fill(1), b.fill(1)])
    if (a.isEmpty && b.isEmpty) return
    const alike = commonLines(a.bytes, b.bytes)
    if (alike > 0) {
      a.skip(alike)
      b.skip(alike)
      continue
    }
    const [dropped, added] = await distance(a, b)
    for (const line of a.take(dropped)) yield { side: 'only before', line }
    for (const line of b.take(added)) yield { side: 'only after', line }
  }
}

/** How many lines each side has before both go on alike; all that was looked at where they do not. */
async function distance(a: Lines, b: Lines): Promise<[number, number]> {
  for (const window of windows) {
    await Promise.all([a.fill(window), b.fill(window)])
    const [left, right] = [a.peek(window), b.peek(window)]
    const places = new Map<string, number>()
    right.forEach((line, j) => {
      if (!places.has(line)) places.set(line, j)
    })
    let best: [number, number] | undefined
    left.forEach((line, i) => {
      const j = places.get(line)
      if (j !== undefined && (!best || i + j < best[0] + best[1])) best = [i, j]
    })
    if (best) return best
    if (left.length < window && right.length < window) return [left.length, right.length]
  }
  // Nothing alike far and wide: one line at a time from both, so that what is alike further on is still found.
  const [left, right] = [a.peek(windows[0]!).length, b.peek(windows[0]!).length]
  return [left, right]
}

/** Bytes of whole lines with which both begin. */
function commonLines(a: Buffer, b: Buffer): number {
  let length = Math.min(a.length, b.length)
  if (a.compare(b, 0, length, 0, length) !== 0) {
    let same = 0
    for (let step = 1 << (31 - Math.clz32(length)); step > 0; step >>= 1) {
      const next = same + step
      if (next <= length && a.compare(b, same, next, same, next) === 0) same = next
    }
    length = same
  }
  return length === 0 ? 0 : a.lastIndexOf(newline, length - 1) + 1
}

/** A stream of lines of which some are looked at ahead. */
class Lines {
  bytes: Buffer = Buffer.alloc(0)
  readonly #source: AsyncIterator<Uint8Array>
  #isOver = false

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]()
  }

  get isEmpty(): boolean {
    return this.bytes.length === 0
  }

  /** Until so many whole lines are at hand, or all that there are. A line may be of many parts, so they are joined once. */
  async fill(lines: number): Promise<void> {
    let missing = lines - this.#count(lines)
    const parts = [this.bytes]
    while (missing > 0 && !this.#isOver) {
      const next = await this.#source.next()
      if (next.done) this.#isOver = true
      else {
        const part = Buffer.from(next.value.buffer, next.value.byteOffset, next.value.length)
        parts.push(part)
        for (let at = part.indexOf(newline); at >= 0 && missing > 0; at = part.indexOf(newline, at + 1)) missing--
      }
    }
    const [first, second, ...more] = parts.filter((part) => part.length > 0)
    this.bytes = second === undefined ? (first ?? Buffer.alloc(0)) : Buffer.concat([first!, second, ...more])
  }

  skip(bytes: number): void {
    this.bytes = this.bytes.subarray(bytes)
  }

  peek(lines: number): string[] {
    return [...this.#ends(lines)].map(([start, end]) =>
      end - start > longestText
        ? hash('sha256', this.bytes.subarray(start, end))
        : this.bytes.toString('latin1', start, end),
    )
  }

  take(lines: number): Uint8Array[] {
    const ranges = [...this.#ends(lines)]
    const taken = ranges.map(([start, end]) => this.bytes.subarray(start, end))
    this.skip(ranges.at(-1)?.[1] ?? 0)
    return taken
  }

  #count(most: number): number {
    let count = 0
    for (const _ of this.#ends(most)) count++
    return count
  }

  *#ends(lines: number): Generator<[number, number]> {
    let start = 0
    for (let i = 0; i < lines; i++) {
      const end = this.bytes.indexOf(newline, start) + 1
      if (end === 0) return
      yield [start, end]
      start = end
    }
  }
}
