/** One `Token: value` line of a commit message's last paragraph; folded lines are unfolded. */
export type Trailer = { readonly token: string; readonly value: string }

/**
 * The trailers of a commit message, in order, as `git interpret-trailers --only-trailers --only-input --unfold --no-divider` gives them:
 * the last paragraph, when it is not the subject and all its lines are trailers, or a quarter of them are and Git itself wrote one.
 */
export function parseTrailers(message: string): readonly Trailer[] {
  const lines = withoutTail(splitLines(message))
  const start = trailerStart(lines)
  const trailers: string[] = []
  let open = false
  for (const line of lines.slice(start)) {
    if (open && startsWithSpace(line)) {
      trailers.push(`${trailers.pop()}\n${line}`)
      continue
    }
    open = separatorOf(line) >= 1 && !isComment(line)
    if (open) trailers.push(line)
  }
  return trailers.map(toTrailer)
}

/** All values of a token, which is compared without regard to case, as Git does. */
export function trailerValues(trailers: readonly Trailer[], token: string): readonly string[] {
  const wanted = token.toLowerCase()
  return trailers.filter((trailer) => trailer.token.toLowerCase() === wanted).map((trailer) => trailer.value)
}

/** Values by token in lower case: for many look-ups in one message. */
export function trailerMap(trailers: readonly Trailer[]): ReadonlyMap<string, readonly string[]> {
  const map = new Map<string, string[]>()
  for (const { token, value } of trailers) {
    const key = token.toLowerCase()
    const values = map.get(key)
    if (values) values.push(value)
    else map.set(key, [value])
  }
  return map
}

/** Text of one line: control characters and line breaks become single spaces, so that no value can end its line. */
export function oneLine(text: string): string {
  return text
    .replace(/[\u0000-\u0020\u007f-\u00a0\u2028\u2029]+/g, ' ')
    .trim()
    .toWellFormed()
}

/**
 * The canonical text of a commit message: subject, blank line, body, blank line, trailers, one final newline; no CR, no trailing blanks.
 * Canonical text gives the same object id whoever writes it.
 */
export function buildMessage(parts: {
  readonly subject: string
  readonly body: readonly string[]
  readonly trailers: readonly Trailer[]
}): string {
  const body = parts.body
    .map(bodyLine)
    .join('\n')
    .replace(/^\n+|\n+$/g, '')
    .replace(/\n{3,}/g, '\n\n')
  const trailers = parts.trailers.map(({ token, value }) => `${token}: ${oneLine(value)}`).join('\n')
  return `${[oneLine(parts.subject), body, trailers].filter((part) => part !== '').join('\n\n')}\n`
}

/** Keeps the indentation of a line, and nothing that moves a cursor. */
function bodyLine(line: string): string {
  return line
    .replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g, ' ')
    .trimEnd()
    .toWellFormed()
}

const generatedByGit = ['Signed-off-by: ', '(cherry picked from commit ']

/** Index of the first line of the trailer block; the number of lines when there is none. */
function trailerStart(lines: readonly string[]): number {
  const counts = { generated: false, trailers: 0, others: 0, folded: 0 }
  let onlySpaces = true
  const title = titleEnd(lines)
  for (let i = lines.length - 1; i >= title; i--) {
    const line = lines[i]!
    if (isComment(line)) {
      counts.others += counts.folded
      counts.folded = 0
    } else if (isBlank(line)) {
      if (onlySpaces) continue
      counts.others += counts.folded
      return isTrailerBlock(counts) ? i + 1 : lines.length
    } else {
      onlySpaces = false
      countLine(counts, line)
    }
  }
  return lines.length
}

type LineCounts = { generated: boolean; trailers: number; others: number; folded: number }

function isTrailerBlock({ generated, trailers, others }: LineCounts): boolean {
  return (generated && trailers * 3 >= others) || (trailers > 0 && others === 0)
}

function countLine(counts: LineCounts, line: string): void {
  const generated = generatedByGit.some((prefix) => line.startsWith(prefix))
  if (generated || (separatorOf(line) >= 1 && !startsWithSpace(line))) {
    counts.trailers++
    counts.folded = 0
    counts.generated ||= generated
  } else if (startsWithSpace(line)) {
    counts.folded++
  } else {
    counts.others += 1 + counts.folded
    counts.folded = 0
  }
}

/** The first paragraph is the title, whatever it looks like. */
function titleEnd(lines: readonly string[]): number {
  const end = lines.findIndex((line) => !isComment(line) && isBlank(line))
  return end === -1 ? lines.length : end
}

/** Without what Git leaves at the end of a message being edited: comments, blank lines, an old list of conflicts. */
function withoutTail(lines: readonly string[]): readonly string[] {
  let tail: number | undefined
  let conflicts = false
  for (const [i, line] of lines.entries()) {
    if (isComment(line) || line === '') tail ??= i
    else if (line === 'Conflicts:') {
      conflicts = true
      tail ??= i
    } else if (!(conflicts && line.startsWith('\t'))) {
      tail = undefined
      conflicts = false
    }
  }
  return tail === undefined ? lines : lines.slice(0, tail)
}

function splitLines(text: string): string[] {
  const lines = text.split('\n')
  if (lines.at(-1) === '') lines.pop()
  return lines
}

function toTrailer(line: string): Trailer {
  const separator = separatorOf(line)
  return { token: trim(line.slice(0, separator)), value: trim(line.slice(separator + 1).replace(/\n[ \t\r\n]*/g, ' ')) }
}

/** Where the colon of a trailer stands, after letters, digits and dashes and, possibly, blanks; -1 when the line is none. */
function separatorOf(line: string): number {
  const match = /^(?:[A-Za-z0-9-]+[ \t]*)?:/.exec(line)
  return match ? match[0].length - 1 : -1
}

function trim(text: string): string {
  return text.replace(/^[ \t\r\n]+|[ \t\r\n]+$/g, '')
}

function isBlank(line: string): boolean {
  return /^[ \t\r]*$/.test(line)
}

function isComment(line: string): boolean {
  return line.startsWith('#')
}

function startsWithSpace(line: string): boolean {
  return line[0] === ' ' || line[0] === '\t' || line[0] === '\r'
}
