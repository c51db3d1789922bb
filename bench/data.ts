import { closeSync, mkdirSync, openSync, writeFileSync, writeSync } from 'node:fs'
import path from 'node:path'

/** The same bytes at every run. */
export function pseudoRandom(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}

const words = 'lorem ipsum dolor sit amet consectetur adipiscing elit sed do eiusmod tempor incididunt ut labore'.split(
  ' ',
)

/** Lines like those of a database dump, about `bytes` of them. */
export function rows(bytes: number, random: () => number, firstId = 1): Buffer {
  const lines: string[] = []
  let length = 0
  for (let id = firstId; length < bytes; id++) {
    const text = Array.from({ length: 6 }, () => words[Math.floor(random() * words.length)]).join(' ')
    const line = `${id}\t${Math.floor(random() * 1e9)}\t${text}\t2026-01-${String(1 + (id % 28)).padStart(2, '0')} 10:00:00\t${random().toFixed(6)}\n`
    lines.push(line)
    length += line.length
  }
  return Buffer.from(lines.join('')).subarray(0, bytes)
}

function noise(bytes: number, random: () => number): Buffer {
  const buffer = Buffer.allocUnsafe(bytes)
  for (let i = 0; i + 4 <= bytes; i += 4) buffer.writeUInt32LE(random() * 2 ** 32, i)
  return buffer
}

const mib = 1 << 20

/** `mebibytes` of mixed data: half of it text rows, half of it incompressible; of each half a part in small files, `files` in all. */
export function writeMixed(directory: string, mebibytes: number, files: number): void {
  const random = pseudoRandom(11)
  const make = { rows, noise }
  const smallBytes = Math.min(6 * 1024, Math.floor((mebibytes * mib) / files / 2))
  for (const kind of ['rows', 'noise'] as const) {
    for (let i = 0; i < files / 2; i++) {
      const folder = path.join(directory, kind, String(i % 100).padStart(2, '0'))
      mkdirSync(folder, { recursive: true })
      writeFileSync(path.join(folder, `${i}`), make[kind](Math.floor(smallBytes * 2 * random()), random))
    }
    const large = Math.floor((mebibytes * mib) / 2 - (files / 2) * smallBytes)
    const pieces = 4
    for (let i = 0; i < pieces; i++) {
      const file = openSync(path.join(directory, kind, `large-${i}`), 'w')
      for (let left = Math.floor(large / pieces); left > 0; left -= 8 * mib) {
        writeSync(file, make[kind](Math.min(left, 8 * mib), random))
      }
      closeSync(file)
    }
  }
}
