import { join } from 'node:path'
import { ACCESS_LOG_SETTING, accessLogSetting } from '../../contract/access-log.ts'
import { addCounts, type TrafficRow, trafficFields } from '../../contract/traffic.ts'
import type { Logger } from '../../process/log.ts'
import type { EdgeReader } from '../edge-store.ts'
import { createIntake } from './intake.ts'
import { createLogArchive } from './log-archive.ts'
import { createLogFiles } from './log-files.ts'
import { createLogTail, type LogTail } from './log-tail.ts'
import { openSpool, type Spool } from './spool.ts'
import { mergedRows } from './tally.ts'

/** How often counters are put on disk: what a supervisor that is killed loses. */
const SPOOL_MS = 5_000

/** What the supervisor does with what its workers see. */
export type Observation = {
  /** A reader for the pipe of one worker; it throws for what is no report. */
  intake(): (chunk: Buffer) => void
  /** Counters that wait for the control plane. */
  readonly spool: Spool
  /** The lines of logs that somebody follows. */
  readonly tail: LogTail
  /** Called after counters were put into the spool. */
  onSpooled(listener: () => void): void
  /** Since the start: the sums of all counters in the order of `trafficFields`, and lines that were dropped. */
  totals(): { readonly counts: readonly number[]; readonly droppedLines: number }
  /** Puts everything on disk. After the last worker has ended. */
  close(): Promise<void>
}

/** Begins to take reports. Logs go to `<dataDir>/logs`, counters to `<dataDir>/traffic`. */
export function startObservation(deps: {
  readonly dataDir: string
  readonly store: Pick<EdgeReader, 'get'>
  readonly log: Logger
}): Observation {
  const { dataDir, store, log } = deps
  const setting = () => accessLogSetting(store.get('setting', ACCESS_LOG_SETTING)?.value)
  const root = join(dataDir, 'logs')
  const archive = createLogArchive({ root, setting, log })
  const files = createLogFiles({ folder: root, setting, archive, log })
  const spool = openSpool(join(dataDir, 'traffic'), log)
  const tail = createLogTail()
  const sums = new Array<number>(trafficFields.length).fill(0)
  let spoolListener: () => void = () => undefined
  let counted: TrafficRow[] = []
  let lost = 0
  let isRefused = false

  const put = (): void => {
    if (counted.length === 0) return
    counted = mergedRows(counted)
    try {
      spool.add(counted)
      counted = []
      isRefused = false
      spoolListener()
    } catch (err) {
      // They stay in memory, a row for each site and hour, until the disk takes them.
      if (!isRefused) log.warn({ err }, 'counters cannot be put on disk; trying again')
      isRefused = true
    }
  }
  const timer = setInterval(put, SPOOL_MS).unref()
  return {
    intake: () =>
      createIntake({
        line(tenantId, siteId, line) {
          files.append(tenantId, siteId, line)
          tail.offer(siteId, line)
        },
        traffic(rows) {
          for (const { counts } of rows) addCounts(sums, counts)
          counted.push(...rows)
        },
        dropped(lines) {
          lost += lines
        },
      }),
    spool,
    tail,
    onSpooled(listener) {
      spoolListener = listener
    },
    totals: () => ({ counts: sums, droppedLines: lost + files.dropped }),
    async close() {
      clearInterval(timer)
      put()
      await files.close()
      await archive.close()
      spool.close()
    },
  }
}
