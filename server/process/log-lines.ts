const names: Readonly<Record<number, string>> = {
  10: 'trace',
  20: 'debug',
  30: 'info',
  40: 'warn',
  50: 'error',
  60: 'FATAL',
}
const MAX_FIELD = 200
const ERROR_LEVEL = 50

/**
 * A line of the log as a person at a terminal reads it: time, part, level when it is above info, the
 * words, then the fields. Control characters, which may come from outside, are escaped. What is no
 * log line is given back as it is.
 */
export function readableLine(line: string): string {
  const record = parse(line)
  if (record === null) return line
  const { level, time, part, msg, err, pid: _pid, ...fields } = record
  const name = Number(level) === 30 ? '' : `${names[Number(level)] ?? level}: `
  const rest = Object.entries(fields).map(([key, value]) => `  ${key}=${short(value)}`)
  return `${clock(Number(time))} ${String(part).padEnd(8)} ${name}${plain(String(msg ?? ''))}${rest.join('')}${cause(err, Number(level))}\n`
}

function parse(line: string): Record<string, unknown> | null {
  try {
    return JSON.parse(line) as Record<string, unknown>
  } catch {
    return null
  }
}

/** Of this machine's own time zone, as the person's clock says. */
function clock(time: number): string {
  return new Date(time).toTimeString().slice(0, 8)
}

function short(value: unknown): string {
  const text = typeof value === 'string' && /^[\w.:/@-]+$/.test(value) ? value : JSON.stringify(value)
  return plain(text.length > MAX_FIELD ? `${text.slice(0, MAX_FIELD)}…` : text)
}

/** What failed: in one line, with its stack only for what is our fault. */
function cause(err: unknown, level: number): string {
  if (typeof err !== 'object' || err === null) return ''
  const { message = '', stack = '' } = err as { message?: string; stack?: string }
  if (level < ERROR_LEVEL) return ` (${plain(message)})`
  return `\n${stack.split('\n').map(plain).join('\n')}`
}

/** A terminal obeys control characters (C0, DEL, C1); here they are only shown. */
function plain(text: string): string {
  return text.replace(/\p{Cc}/gu, (character) => `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`)
}
