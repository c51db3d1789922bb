/** Lower-case ULID: 26 characters of Crockford's base 32, the first 10 of them the time in milliseconds. */
export function isSnapshotId(text: string): boolean {
  return /^[0-7][0-9a-hjkmnp-tv-z]{25}$/.test(text)
}

const digits = '0123456789abcdefghjkmnpqrstvwxyz'
const timeDigits = 10

/**
 * `fresh` made to sort after `newest`: ids are ordered by their time, and a clock may be set back. A newest one that nothing can sort after
 * is no reason to fail.
 */
export function idAfter(newest: string | undefined, fresh: string): string {
  if (newest === undefined || fresh > newest) return fresh
  let time = 0
  for (const digit of newest.slice(0, timeDigits)) time = time * 32 + digits.indexOf(digit)
  let text = ''
  for (let rest = time + 1; text.length < timeDigits; rest = Math.floor(rest / 32)) text = digits[rest % 32] + text
  return isSnapshotId(text + fresh.slice(timeDigits)) && text > newest.slice(0, timeDigits)
    ? text + fresh.slice(timeDigits)
    : fresh
}

/** At least four characters that a ULID could begin with. Upper case is accepted. */
export function isSnapshotIdPrefix(text: string): boolean {
  return /^[0-7][0-9a-hjkmnp-tv-z]{3,25}$/i.test(text)
}

/** The form in which people see ids: short, but with enough of the random part to be unique in practice. */
export function shortId(id: string): string {
  return id.slice(0, 12)
}

/** What `--name` may be: it must be easy to type, and must not be taken for an id, `latest` or a date. */
export function isSnapshotName(text: string): boolean {
  return /^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}$/.test(text) && !isSnapshotIdPrefix(text) && text !== 'latest'
}
