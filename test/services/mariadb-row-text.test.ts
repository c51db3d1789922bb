import { expect, test } from 'vitest'
import { RowText } from '../../src/services/mariadb/row-text.ts'

/** A length as the protocol writes it in front of a value. */
function lengthOf(value: Buffer): Buffer {
  const { length } = value
  if (length < 251) return Buffer.of(length)
  const bytes = Buffer.alloc(length < 65_536 ? 3 : 4)
  bytes[0] = length < 65_536 ? 252 : 253
  bytes.writeUIntLE(length, 1, bytes.length - 1)
  return bytes
}

function packetOf(row: readonly (Buffer | null)[]): Buffer {
  return Buffer.concat(row.flatMap((value) => (value === null ? [Buffer.of(251)] : [lengthOf(value), value])))
}

function escaped(value: Buffer | null): string {
  const letters: Readonly<Record<string, string>> = { '\0': '\\0', '\t': '\\t', '\n': '\\n', '\\': '\\\\' }
  if (value === null) return '\\N'
  return value.toString('latin1').replaceAll(/[\0\t\n\\]/g, (byte) => letters[byte]!)
}

function random(seed: number): () => number {
  let state = seed
  return () => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648
    return state / 2_147_483_648
  }
}

test.each([1, 2, 3])('rows of all lengths and bytes become their lines (%i)', (seed) => {
  const next = random(seed)
  const lengths = [0, 1, 2, 3, 4, 5, 7, 8, 39, 40, 41, 250, 251, 252, 1000, 65_535, 65_536, 300_000]
  const value = () => {
    const bytes = Buffer.alloc(lengths[Math.floor(next() * lengths.length)]!)
    const often = [0, 9, 10, 92, 13, 39, 255]
    for (let i = 0; i < bytes.length; i++) {
      bytes[i] = next() < 0.1 ? often[Math.floor(next() * often.length)]! : Math.floor(next() * 256)
    }
    return bytes
  }
  const rows = Array.from({ length: 60 }, () => Array.from({ length: 5 }, () => (next() < 0.1 ? null : value())))
  const text = new RowText()
  for (const row of rows) {
    const packet = Buffer.concat([Buffer.from('ahead'), packetOf(row), Buffer.from('behind')])
    text.add(packet, 5, packet.length - 6)
  }
  const made = Buffer.concat([...text.blocks, text.rest()]).toString('latin1')
  expect(made === rows.map((row) => `${row.map(escaped).join('\t')}\n`).join('')).toBe(true)
  expect(text.rows).toBe(rows.length)
})
