import { type Db, write } from '../db.ts'
import { recordEvent } from '../events/record.ts'
import { createKeyedLimiter } from '../jobs/limit.ts'
import type { OpenProvider } from './open-provider.ts'
import { asProviderError, type DnsProviderError } from './provider.ts'
import {
  beginRemoval,
  forgetRecord,
  noteFailedRemoval,
  noteTry,
  type RecordKey,
  type RecordRow,
  saveRecord,
} from './record-store.ts'
import type { ProviderRow } from './store.ts'

const MINUTE_MS = 60_000
/** After each failed removal; then daily. The same steps as for certificates. */
const REMOVAL_WAITS_MS = [MINUTE_MS, 10 * MINUTE_MS, 100 * MINUTE_MS]
const DAILY_MS = 24 * 60 * MINUTE_MS
/** Share by which waits differ, so that what failed together is not tried together. */
const JITTER = 0.2

/**
 * Writes and removes records, each with its row: the row is there before the provider is called and goes
 * after the provider has said that the value is gone, so that a process that dies anywhere leaves a
 * row, and the clean-up finds it.
 */
export type DnsRecords = {
  /** Sets a value. Throws `DnsProviderError`; the row stays then, since the value may be there. */
  write(provider: ProviderRow, key: Omit<RecordKey, 'providerId'>, signal: AbortSignal): Promise<RecordRow>
  /** Removes a value. Throws `DnsProviderError` after the next try was written down. */
  remove(provider: ProviderRow, row: RecordRow, signal: AbortSignal): Promise<void>
}

/** Makes it. Calls at one name of one provider are made one after the other: some APIs replace all values at once. */
export function createDnsRecords({ db, open }: { readonly db: Db; readonly open: OpenProvider }): DnsRecords {
  const oneAtATime = createKeyedLimiter(1)
  const atName = <T>(key: RecordKey, work: () => Promise<T>): Promise<T> =>
    oneAtATime(`${key.providerId} ${key.fqdn}`, work)
  return {
    write: (provider, rest, signal) => {
      const key = { ...rest, providerId: provider.id }
      return atName(key, async () => {
        const wanted = await saveRecord(db, key, 'wanted')
        try {
          await open(provider).setTxt(key.fqdn, key.value, signal)
        } catch (error) {
          const problem = asProviderError(error, 'the DNS provider')
          await noteTry(db, wanted.id, problem.message)
          throw problem
        }
        return saveRecord(db, key, 'present')
      })
    },
    remove: (provider, row, signal) =>
      atName(row, async () => {
        const { isShared } = await beginRemoval(db, row.id)
        try {
          if (!isShared) await open(provider).removeTxt(row.fqdn, row.value, signal)
        } catch (error) {
          const problem = asProviderError(error, 'the DNS provider')
          // We broke it off ourselves: no failure of the provider. The row is due again when its lease ends.
          if (signal.aborted) throw problem
          const failures = (row.state === 'removing' ? row.failures : 0) + 1
          await failedRemoval(db, provider, row, { problem, failures })
          throw problem
        }
        await forgetRecord(db, row.id)
      }),
  }
}

/** How long after the `failures`-th failed removal the next one is tried. `random` in [0, 1). */
export function removalWaitMs(failures: number, retryAfterMs: number | null, random: number): number {
  const waitMs = REMOVAL_WAITS_MS[failures - 1] ?? DAILY_MS
  return Math.max(retryAfterMs ?? 0, Math.round(waitMs * (1 + JITTER * (2 * random - 1))))
}

/** Whether with this failure asking becomes rare: that is told once. */
export function isGivenUp(failures: number): boolean {
  return failures === REMOVAL_WAITS_MS.length + 1
}

async function failedRemoval(
  db: Db,
  provider: ProviderRow,
  row: RecordRow,
  { problem, failures }: { readonly problem: DnsProviderError; readonly failures: number },
): Promise<void> {
  const dueAt = new Date(Date.now() + removalWaitMs(failures, problem.retryAfterMs, Math.random()))
  await write(db, {}, async (tx) => {
    await noteFailedRemoval(tx, row.id, problem.message, dueAt)
    if (!isGivenUp(failures)) return
    await recordEvent(tx, {
      actor: 'system',
      tenantId: provider.tenantId,
      action: 'dns-record.stuck',
      subjectId: provider.id,
      subjectName: provider.name,
      detail: {
        fqdn: row.fqdn,
        value: row.value,
        hostname: row.hostname,
        code: problem.code,
        problem: problem.message,
      },
    })
  })
}
