import { ACCESS_LOG_SETTING, type AccessLogSetting, accessLogSetting } from '../../contract/access-log.ts'
import type { RecordKind } from '../../contract/records.ts'
import { siteOptions } from '../../contract/site-options.ts'
import type { TrafficRow } from '../../contract/traffic.ts'
import type { EdgeReader } from '../edge-store.ts'
import type { RequestEntry, RequestLog } from '../http/request-log.ts'
import { createRecent } from '../recent.ts'
import { accessLine } from './access-line.ts'
import type { ReportPipe } from './report-pipe.ts'
import { createTally, mergedRows } from './tally.ts'

/** How long entries are collected before they are written as lines. */
const COLLECT_MS = 200
/** Entries that are made into lines in one turn of the event loop. */
const ENTRIES_PER_TURN = 200
/** Entries that may wait; above, they are counted and make no line. */
const MAX_ENTRIES = 16_384
/** Sites whose folders are remembered. */
const MAX_FOLDERS = 20_000
/** How often counters go to the supervisor. */
const REPORT_MS = 2_000
/** Longest wait for the supervisor when the worker ends. */
const FAREWELL_MS = 1_000

/** What a worker sees of its requests. */
export type Observer = {
  readonly log: RequestLog
  /** Drops what is cached of these records. */
  invalidate(keys: readonly { kind: RecordKind; key: string }[]): void
  /** Hands over what was collected; resolves when it has left the process, at most a second later. */
  close(): Promise<void>
}

type Waiting = { readonly entry: RequestEntry; readonly atMs: number }

/**
 * Counts requests and makes lines of them, off the request path: an entry costs a push to a list and some
 * additions there. Where the supervisor does not keep up, lines are dropped and their number told.
 */
export function createObserver(deps: {
  readonly reader: Pick<EdgeReader, 'get'>
  readonly pipe: ReportPipe
}): Observer {
  const { pipe, reader } = deps
  /** By site, false where no log is wanted. No more of a record is kept: a tenant decides how large it is. */
  const folders = createRecent<string | false>(MAX_FOLDERS)
  let format: AccessLogSetting['format'] | null = null
  const tally = createTally()
  const waiting: Waiting[] = []
  let held: TrafficRow[] = []
  let dropped = 0
  let collecting: NodeJS.Timeout | null = null

  const writeLines = (most: number): void => {
    const batch = waiting.length > most ? waiting.splice(0, most) : waiting.splice(0)
    format ??= accessLogSetting(reader.get('setting', ACCESS_LOG_SETTING)?.value).format
    let lines = ''
    let count = 0
    for (const { entry, atMs } of batch) {
      const folder = folderOf(entry)
      if (folder === false) continue
      lines += `A ${folder} ${accessLine(format, entry, atMs)}\n`
      count += 1
    }
    if (count > 0 && !pipe.send(lines)) dropped += count
  }
  /** Whose log an entry is in; a request that no site answered is in that of the connection's site. */
  const folderOf = (entry: RequestEntry): string | false => {
    const siteId = entry.siteId ?? entry.connection.siteId
    if (siteId === null) return false
    const known = folders.get(siteId)
    if (known !== undefined) return known
    const site = reader.get('site', siteId)
    const folder = site === null || !siteOptions(site.options).accessLog ? false : `${site.tenantId} ${siteId}`
    folders.set(siteId, folder)
    return folder
  }
  const collect = (): void => {
    try {
      writeLines(ENTRIES_PER_TURN)
    } catch {
      // The records cannot be read at this moment: requests are answered by the same store and told there.
      dropped += waiting.splice(0).length
    }
    collecting = waiting.length > 0 ? setTimeout(collect, 0) : null
  }
  const report = (): void => {
    if (dropped > 0 && pipe.send(`D ${dropped}\n`)) dropped = 0
    if (tally.isEmpty && held.length === 0) return
    // What a supervisor that is slow does not take is told with the next report.
    held = mergedRows([...held, ...tally.take()])
    if (pipe.send(`T ${JSON.stringify(held)}\n`)) held = []
  }
  const reporting = setInterval(report, REPORT_MS).unref()
  return {
    log(entry) {
      const atMs = Date.now()
      tally.add(entry, atMs)
      if (waiting.length >= MAX_ENTRIES) {
        dropped += 1
        return
      }
      waiting.push({ entry, atMs })
      if (collecting === null) collecting = setTimeout(collect, COLLECT_MS).unref()
    },
    invalidate(keys) {
      for (const { kind, key } of keys) {
        if (kind === 'site') folders.take(key)
        else if (kind === 'setting' && key === ACCESS_LOG_SETTING) format = null
      }
    },
    async close() {
      clearInterval(reporting)
      try {
        while (waiting.length > 0) writeLines(waiting.length)
      } catch {
        // As above; the counters are told in any case.
      }
      report()
      await Promise.race([pipe.flushed(), new Promise((resolve) => setTimeout(resolve, FAREWELL_MS))])
    },
  }
}
