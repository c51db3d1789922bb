import { isUtf8 } from 'node:buffer'
import { EnvError } from '../../domain/errors.ts'
import { printable } from '../../domain/format-text.ts'

const longestShown = 80

/** A key as people may see it. */
export function printableKey(key: Buffer): string {
  const text = isUtf8(key) ? key.toString('utf8') : key.toString('latin1')
  return printable(text.length > longestShown ? `${text.slice(0, longestShown)}…` : text)
}

/** What `--only` names: one key, or all that begin with what is before the `*` at its end. */
export type KeySelection = { readonly text: string; readonly isPrefix: boolean }

export function parseSelection(only: readonly string[], name: string): KeySelection[] {
  return only.map((item) => {
    const isPrefix = item.endsWith('*')
    const text = isPrefix ? item.slice(0, -1) : item
    if (text !== '' && !text.includes('*')) return { text, isPrefix }
    throw new EnvError('usage', `${name}: ${JSON.stringify(item)} names no keys`, {
      hint: `a key, or how keys begin with a * behind it: --only '${name}:session:*'`,
    })
  })
}

export function isSelected(key: Buffer, selections: readonly KeySelection[]): boolean {
  return selections.some(({ text, isPrefix }) => {
    const wanted = Buffer.from(text)
    return isPrefix ? key.subarray(0, wanted.length).equals(wanted) : key.equals(wanted)
  })
}

/** The pattern of Redis for exactly these bytes and what follows. */
export function globOf(text: string): string {
  return `${text.replaceAll(/[\\*?[\]]/g, '\\$&')}*`
}

/** Names that git-env gives to keys of its own in a spare index. */
export const claimPrefix = 'git-env:restore:'

export function claimKey(id: string): string {
  return `${claimPrefix}${id}`
}

/** Keys of a partial restore lie under other names, where those that come and those that go can be apart. */
export function partPrefix(id: string, part: 'comes' | 'goes'): string {
  return `git-env:${id}:${part}:`
}
