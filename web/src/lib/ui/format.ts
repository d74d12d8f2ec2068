/** The words around are English; an English region still chooses how dates are written. */
const language = navigator.language.startsWith('en') ? navigator.language : 'en-GB'
const dateTime = new Intl.DateTimeFormat(language, { dateStyle: 'medium', timeStyle: 'short' })
const dateOnly = new Intl.DateTimeFormat(language, { dateStyle: 'medium' })
const timeOnly = new Intl.DateTimeFormat(language, { timeStyle: 'medium' })
const relative = new Intl.RelativeTimeFormat(language, { numeric: 'auto' })
const numbers = new Intl.NumberFormat(language)

const SECOND = 1_000
const steps: readonly [Intl.RelativeTimeFormatUnit, number][] = [
  ['day', 86_400 * SECOND],
  ['hour', 3_600 * SECOND],
  ['minute', 60 * SECOND],
  ['second', SECOND],
]

/** Date and time of day, in the person's own time zone. */
export function formatTime(at: string): string {
  return dateTime.format(new Date(at))
}

/** The day alone. */
export function formatDay(at: string): string {
  return dateOnly.format(new Date(at))
}

/** The time of day with seconds when it is today, else day and time. */
export function formatMoment(at: string, now = new Date()): string {
  const date = new Date(at)
  return date.toDateString() === now.toDateString() ? timeOnly.format(date) : dateTime.format(date)
}

/** How long ago or ahead, in one unit. */
export function formatRelative(at: string, now = Date.now()): string {
  const difference = new Date(at).getTime() - now
  const [unit, size] = steps.find(([, unitSize]) => Math.abs(difference) >= unitSize) ?? ['second', SECOND]
  return relative.format(Math.round(difference / size), unit)
}

/** A size in the unit that fits. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB'] as const
  const power = bytes < 1 ? 0 : Math.min(Math.floor(Math.log10(bytes) / 3), units.length - 1)
  const value = bytes / 1000 ** power
  return `${numbers.format(Number(value.toFixed(power === 0 || value >= 100 ? 0 : 1)))} ${units[power]}`
}

/** `3 files`, `1 file`. */
export function formatCount(count: number, one: string, many = `${one}s`): string {
  return `${numbers.format(count)} ${count === 1 ? one : many}`
}
