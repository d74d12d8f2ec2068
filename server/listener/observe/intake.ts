import { isTrafficRow, type TrafficRow } from '../../contract/traffic.ts'
import { lineReader } from '../worker-messages.ts'

/** Ids as they may become names of folders. */
const ID = /^[\w-][\w.-]{0,63}$/

/** Who takes what workers report. */
export type IntakeDeps = {
  /** A line of a site's access log, without its end. */
  readonly line: (tenantId: string, siteId: string, line: string) => void
  readonly traffic: (rows: readonly TrafficRow[]) => void
  /** Lines that a worker could not hand over. */
  readonly dropped: (lines: number) => void
}

/**
 * Reads the pipe of one worker. A report is a line: `A <tenant> <site> <line of the log>`, `T <rows as JSON>`,
 * `D <number>`. Throws for anything else: the worker is broken.
 */
export function createIntake(deps: IntakeDeps): (chunk: Buffer) => void {
  return lineReader((text) => {
    const rest = text.slice(2)
    if (text.startsWith('A ')) takeLine(rest, deps)
    else if (text.startsWith('T ')) takeTraffic(rest, deps)
    else if (text.startsWith('D ') && /^\d{1,15}$/.test(rest)) deps.dropped(Number(rest))
    else throw new Error('a report of no known kind')
  })
}

function takeLine(text: string, { line }: IntakeDeps): void {
  const first = text.indexOf(' ')
  const second = text.indexOf(' ', first + 1)
  const tenantId = text.slice(0, first)
  const siteId = text.slice(first + 1, second)
  if (second < 0 || !ID.test(tenantId) || !ID.test(siteId)) throw new Error('a line of a log without its site')
  line(tenantId, siteId, text.slice(second + 1))
}

function takeTraffic(text: string, { traffic }: IntakeDeps): void {
  const rows: unknown = JSON.parse(text)
  if (!Array.isArray(rows) || !rows.every(isTrafficRow)) throw new Error('counters that are none')
  traffic(rows)
}
