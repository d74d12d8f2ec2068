import { MAX_TAIL_CHARS, MAX_TAIL_LINES, type TailMessage } from '../../contract/link.ts'

/** The lines of access logs that somebody follows at this moment. What nobody follows costs one look into a map. */
export type LogTail = {
  /** A line of a site's log, without its end. */
  offer(siteId: string, line: string): void
  /** Follows these sites and no others; what waits of others is forgotten. */
  follow(siteIds: readonly string[]): void
  /** What has come since the last call, by site; at most `MAX_TAIL_LINES` and `MAX_TAIL_CHARS` of each, the rest is counted. */
  take(): Omit<TailMessage, 'type'>[]
}

type Waiting = { lines: string[]; chars: number; leftOut: number }

const nothing = (): Waiting => ({ lines: [], chars: 0, leftOut: 0 })

/** Makes one that follows nothing. */
export function createLogTail(): LogTail {
  let followed = new Map<string, Waiting>()
  return {
    offer(siteId, line) {
      const waiting = followed.get(siteId)
      if (waiting === undefined) return
      const isRoom = waiting.lines.length < MAX_TAIL_LINES && waiting.chars + line.length <= MAX_TAIL_CHARS
      if (!isRoom) {
        waiting.leftOut += 1
        return
      }
      waiting.lines.push(line)
      waiting.chars += line.length
    },
    follow(siteIds) {
      followed = new Map(siteIds.map((siteId) => [siteId, followed.get(siteId) ?? nothing()]))
    },
    take() {
      const taken: Omit<TailMessage, 'type'>[] = []
      for (const [siteId, { lines, leftOut }] of followed) {
        if (lines.length === 0 && leftOut === 0) continue
        taken.push({ siteId, lines, leftOut })
        followed.set(siteId, nothing())
      }
      return taken
    },
  }
}
