import { type Alias, isAlias, isMap, isScalar, isSeq, LineCounter, type Node, parseDocument, visit } from 'yaml'
import type { Texts } from './found.ts'

/** How many entries may be looked at in one file, aliases and merges followed: a small file can unfold into billions. */
const mostLooks = 20_000
const deepestMerge = 8

type File = {
  readonly name: string
  readonly lines: LineCounter
  readonly targets: ReadonlyMap<Alias, Node>
  looks: number
}

/** A node of a YAML file, looked at without unfolding the file. */
export class YamlNode {
  readonly #node: Node
  readonly #file: File
  readonly #begin: Node

  /** `begin`: where it begins for people, at its key. */
  constructor(node: Node, file: File, begin: Node = node) {
    this.#node = node
    this.#file = file
    this.#begin = begin
  }

  /** `file:line`. */
  get source(): string {
    const offset = this.#begin.range?.[0] ?? 0
    return `${this.#file.name}:${this.#file.lines.linePos(offset).line}`
  }

  /** What a scalar says, as it is written: `0123` stays that. undefined for null and for what is no scalar. */
  get text(): string | undefined {
    const node = this.#node
    if (!isScalar(node) || node.value === null) return undefined
    return typeof node.value === 'string' ? node.value : (node.source ?? String(node.value))
  }

  get isMap(): boolean {
    return isMap(this.#node)
  }

  at(...keys: readonly string[]): YamlNode | undefined {
    const [key, ...rest] = keys
    if (key === undefined) return this
    return this.#find(key, 0)?.at(...rest)
  }

  /** Keys and values, those of merged maps too. */
  entries(): [string, YamlNode][] {
    const found = new Map<string, YamlNode>()
    this.#collect(found, 0)
    return [...found]
  }

  items(): YamlNode[] {
    if (!isSeq(this.#node)) return []
    return this.#node.items.flatMap((item) => this.#child(item) ?? [])
  }

  #find(key: string, depth: number): YamlNode | undefined {
    if (!isMap(this.#node)) return undefined
    const own = this.#node.items.find((pair) => isScalar(pair.key) && String(pair.key.value) === key)
    if (own) return this.#child(own.value, own.key as Node)
    for (const merged of this.#merged(depth)) {
      const found = merged.#find(key, depth + 1)
      if (found) return found
    }
    return undefined
  }

  #collect(found: Map<string, YamlNode>, depth: number): void {
    if (!isMap(this.#node)) return
    for (const { key, value } of this.#node.items) {
      if (!isScalar(key) || key.value === '<<') continue
      const child = this.#child(value, key)
      if (child && !found.has(String(key.value))) found.set(String(key.value), child)
    }
    for (const merged of this.#merged(depth)) merged.#collect(found, depth + 1)
  }

  #merged(depth: number): YamlNode[] {
    if (!isMap(this.#node) || depth >= deepestMerge) return []
    const pair = this.#node.items.find(({ key }) => isScalar(key) && key.value === '<<')
    const merged = pair && this.#child(pair.value)
    if (!merged) return []
    return merged.isMap ? [merged] : merged.items()
  }

  #child(value: unknown, key?: Node): YamlNode | undefined {
    if (++this.#file.looks > mostLooks) throw new TooManyLooks()
    let node = value as Node | null
    for (let hops = 0; isAlias(node) && hops < 10; hops++) node = this.#file.targets.get(node) ?? null
    return node && !isAlias(node) ? new YamlNode(node, this.#file, key) : undefined
  }
}

class TooManyLooks extends Error {}

/** A YAML file of the project; undefined where there is none, or none that can be read, which is noted. */
export function readYaml(texts: Texts, name: string, text = texts.read(name)): YamlNode | undefined {
  if (text === undefined) return undefined
  const lines = new LineCounter()
  try {
    const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, logLevel: 'silent' })
    const problem = document.errors[0]
    if (problem) {
      // What the parser says quotes the file, which may hold secrets.
      texts.note(`${name}:${lines.linePos(problem.pos[0]).line} is no YAML that can be read`)
      return undefined
    }
    if (!document.contents) return undefined
    const anchors = new Map<string, Node>()
    const targets = new Map<Alias, Node>()
    visit(document, {
      Node(_, node) {
        if (isAlias(node)) {
          const target = anchors.get(node.source)
          if (target) targets.set(node, target)
        } else if (node.anchor !== undefined) anchors.set(node.anchor, node)
      },
    })
    return new YamlNode(document.contents as Node, { name, lines, targets, looks: 0 })
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
    texts.note(`${name} is nested too deeply to be read`)
    return undefined
  }
}

/** Runs a reader of a YAML file; one that unfolds without end is noted, and gives nothing. */
export function withinBounds<T>(texts: Texts, name: string, read: () => readonly T[]): readonly T[] {
  try {
    return read()
  } catch (error) {
    if (!(error instanceof TooManyLooks)) throw error
    texts.note(`${name} unfolds to more than can be read`)
    return []
  }
}
