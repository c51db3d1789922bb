/** Numbers and times as people read them; the same in commit messages and on the terminal. */

/** `984 KiB`, `1.2 GiB`: three digits at the most. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB']
  let value = bytes
  let unit = 0
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1024
    unit++
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(value >= 10 ? 0 : 1)} ${units[unit]}`
}

/** `1,203,331`. */
export function formatCount(count: number): string {
  return String(count).replace(/\B(?=(\d{3})+(?!\d))/g, ',')
}

/** `1 table`, `12 tables`. */
export function plural(count: number, one: string, many = one.endsWith('x') ? `${one}es` : `${one}s`): string {
  return `${formatCount(count)} ${count === 1 ? one : many}`
}

/** `0.8 ms`, `12 ms`, `3.2 s`, `4 min`. */
export function formatMicros(micros: number): string {
  if (micros < 10_000) return `${(micros / 1000).toFixed(1)} ms`
  if (micros < 1_000_000) return `${Math.round(micros / 1000)} ms`
  if (micros < 120_000_000) return `${(micros / 1_000_000).toFixed(1)} s`
  return `${Math.round(micros / 60_000_000)} min`
}

/** `2026-11-22 16:40`, in the local time zone. */
export function formatTime(date: Date): string {
  return `${formatDay(date)} ${two(date.getHours())}:${two(date.getMinutes())}`
}

/** `2026-11-22`, in the local time zone. */
export function formatDay(date: Date): string {
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`
}

function two(value: number): string {
  return value < 10 ? `0${value}` : String(value)
}

/** `just now`, `3 minutes ago`, `2 days ago`. */
export function formatAge(date: Date, now: Date): string {
  const seconds = Math.max(0, Math.round((now.getTime() - date.getTime()) / 1000))
  if (seconds < 45) return 'just now'
  const steps: readonly [number, string][] = [
    [86400 * 365, 'year'],
    [86400 * 30, 'month'],
    [86400, 'day'],
    [3600, 'hour'],
    [60, 'minute'],
  ]
  for (const [length, unit] of steps) if (seconds >= length) return `${plural(Math.floor(seconds / length), unit)} ago`
  return 'a minute ago'
}

const unprintable = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]/

/** Text that cannot move the cursor or change colours: control characters and line breaks are shown escaped. */
export function printable(text: string): string {
  // Nearly all text is: thousands of rows would spend more time in a replacement that replaces nothing.
  return unprintable.test(text) ? text.replace(new RegExp(unprintable, 'g'), escaped) : text
}

function escaped(character: string): string {
  const code = character.charCodeAt(0)
  return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u${code.toString(16).padStart(4, '0')}`
}
