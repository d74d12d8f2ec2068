import type { Logger } from '../../process/log.ts'
import type { Db } from '../db.ts'
import type { Hints } from '../jobs/hints.ts'
import { eachLimited } from '../jobs/limit.ts'
import { type Loop, startLoop } from '../jobs/loop.ts'
import { DnsProviderError } from './provider.ts'
import { msUntilDue, putOff, type RecordRow, takeDueRecords } from './record-store.ts'
import type { DnsRecords } from './records.ts'
import { findProvider } from './store.ts'

const INTERVAL_MS = 30_000
/** Rows of one pass, and providers that are called at the same time. */
const BATCH = 100
const PROVIDERS_AT_ONCE = 8
/** A provider that does not answer is left alone for the rest of a pass. */
const silentCodes: ReadonlySet<string> = new Set(['unreachable', 'timeout', 'rate-limited'])

/** What the clean-up needs. */
export type DnsCleanupDeps = {
  readonly db: Db
  readonly records: DnsRecords
  /** Which of these orders are still open; those that nobody knows are not. */
  readonly isOrderOpen: (orderIds: readonly string[]) => Promise<ReadonlySet<string>>
  readonly hints: Hints
  readonly log: Logger
}

/**
 * Removes records whose order has ended, for ever. It shares nothing with issuing but the rows, so that a
 * provider that refuses to delete delays no certificate. Several processes share the work.
 */
export function startDnsCleanup(deps: DnsCleanupDeps): Loop {
  return startLoop({
    name: 'dns.cleanup',
    topic: 'dns',
    hints: deps.hints,
    log: deps.log,
    intervalMs: INTERVAL_MS,
    async pass(signal) {
      await cleanUp(deps, signal)
      return msUntilDue(deps.db)
    },
  })
}

/** One pass: all that is due now, at most a batch. */
export async function cleanUp(deps: Omit<DnsCleanupDeps, 'hints'>, signal: AbortSignal): Promise<void> {
  const rows = await takeDueRecords(deps.db, BATCH)
  const orderIds = [...new Set(rows.flatMap((row) => (row.state === 'removing' ? [] : row.orderId)))]
  const open = orderIds.length === 0 ? new Set<string>() : await deps.isOrderOpen(orderIds)
  const isOpen = (row: RecordRow): boolean => row.state !== 'removing' && open.has(row.orderId)
  const kept = rows.filter(isOpen).map(({ id }) => id)
  if (kept.length > 0) await putOff(deps.db, kept)
  const byProvider = Map.groupBy(
    rows.filter((row) => !isOpen(row)),
    (row) => row.providerId,
  )
  await eachLimited([...byProvider], PROVIDERS_AT_ONCE, ([id, gone]) => removeAll(deps, id, gone, signal))
}

/** What is left when a provider falls silent is due again when its lease ends. */
async function removeAll(
  { db, records, log }: Omit<DnsCleanupDeps, 'hints'>,
  providerId: string,
  rows: readonly RecordRow[],
  signal: AbortSignal,
): Promise<void> {
  const provider = await findProvider(db, providerId)
  if (provider === null) return
  for (const row of rows) {
    if (signal.aborted) return
    try {
      await records.remove(provider, row, signal)
    } catch (error) {
      if (!(error instanceof DnsProviderError)) throw error
      log.warn({ err: error, providerId, fqdn: row.fqdn }, 'a DNS record could not be removed; it is tried again')
      if (silentCodes.has(error.code)) return
    }
  }
}
