import { EnvError } from '../../domain/errors.ts'
import { isOurs } from './names.ts'

export type Patterns = {
  /** As they are sent to the server. */
  readonly texts: readonly string[]
  matches(name: string): boolean
  /** Whether it is named as a whole, without a `*`. */
  names(name: string): boolean
}

const odd = /[\s,"<>|\\/?#:]/

/** Names of indices, templates or pipelines, `*` for any characters. Names that begin with a dot are the server's: only a pattern that does so too matches them. */
export function patternsOf(service: string, key: string, given: readonly string[], environment: string): Patterns {
  const texts = given.map((text) => text.replaceAll('{env}', environment))
  for (const text of texts) {
    if (text !== '' && !odd.test(text) && !/^[-_+]/.test(text) && text === text.toLowerCase() && !isOurs(text)) continue
    throw new EnvError('usage', `${service}: ${key} has ${JSON.stringify(text)}, which cannot be a name`, {
      hint: 'lower-case names, * for any characters, such as products* or shop-{env}-*',
    })
  }
  const expressions = texts.map((text) => ({
    isForDots: text.startsWith('.'),
    expression: new RegExp(`^${text.split('*').map(escaped).join('.*')}$`, 's'),
  }))
  return {
    texts,
    names: (name) => texts.includes(name),
    matches: (name) =>
      !isOurs(name) &&
      expressions.some(({ isForDots, expression }) => (isForDots || !name.startsWith('.')) && expression.test(name)),
  }
}

function escaped(text: string): string {
  return text.replaceAll(/[.+^${}()|[\]\\]/g, '\\$&')
}
