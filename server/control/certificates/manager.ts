import { randomUUID } from 'node:crypto'
import type { Logger } from '../../process/log.ts'
import { type Db, write } from '../db.ts'
import { recordEvent } from '../events/record.ts'
import type { Hints } from '../jobs/hints.ts'
import { startLoop } from '../jobs/loop.ts'
import type { Vault } from '../vault.ts'
import type { CaObserver } from './ca-observer.ts'
import { createIssuers } from './issuers.ts'
import { claimDue, holdLease, type Lease, LeaseLostError, msUntilDue, releaseLease, releaseLeasesOf } from './lease.ts'
import type { AwaitAcked, DnsProofs, Preflight, RecheckBeforeOrder } from './order-run.ts'
import { letOrdersThrough } from './queue-pass.ts'
import type { Random } from './schedule.ts'
import { adoptHostnames, wakeReproven } from './store.ts'
import type { Whereabouts } from './work.ts'
import { workOn } from './worker.ts'

/** Certificates that are worked on at the same time; most of an order is waiting. */
const PARALLELISM = 32
/** Of these, the most that failed before. */
const FAILING_SHARE = 1 / 2
/** Longest wait between passes, for hints that were lost. */
const INTERVAL_MS = 5_000
/** Well below the lease's length, so that one lost renewal does no harm. */
const RENEW_LEASE_MS = 5_000
const ADOPT_BATCH = 200
/** Wait after a failure of the database under a certificate. */
const FAULT_PAUSE_MS = 1_000

/** What the certificate manager needs; the functions come from other domains. */
export type ManagerDeps = {
  readonly db: Db
  readonly vault: Vault
  readonly hints: Hints
  readonly log: Logger
  /** Nameplate's version, for the User-Agent. */
  readonly version: string
  readonly awaitAcked: AwaitAcked
  readonly recheckBeforeOrder: RecheckBeforeOrder
  readonly preflight: Preflight
  readonly whereabouts: Whereabouts
  readonly dns: DnsProofs
  /**
   * Who this manager is, the same after a restart (UUID); what it held when it was killed is taken up at
   * once. Two running managers must never share it. Without it, one of its own for this run.
   */
  readonly holder?: string
  readonly parallelism?: number
  /** Measures the calls to CAs. */
  readonly observer?: Pick<CaObserver, 'forIssuer'>
  readonly now?: () => Date
  readonly random?: Random
}

/** The running certificate manager. */
export type CertificateManager = {
  wake(): void
  /** Stops after the present steps; what is under way goes on from its rows at the next start. */
  stop(): Promise<void>
}

/**
 * Starts the certificate manager: gives each proven hostname a certificate, orders, renews and
 * retires what is due. Any number of managers may run on one database.
 */
export function startCertificateManager(deps: ManagerDeps): CertificateManager {
  const { db, log, parallelism = PARALLELISM } = deps
  const now = deps.now ?? (() => new Date())
  const issuers = createIssuers({ ...deps, now })
  const worker = { ...deps, issuers, now, random: deps.random ?? Math.random }
  const holder = deps.holder ?? randomUUID()
  let isFresh = true
  const running = new Set<Promise<void>>()
  let failing = 0

  const start = (lease: Lease, signal: AbortSignal): void => {
    if (lease.isFailing) failing += 1
    const task = underLease(deps, lease, signal, (combined) => workOn(worker, lease, combined)).finally(() => {
      running.delete(task)
      if (lease.isFailing) failing -= 1
      loop.wake()
    })
    running.add(task)
  }
  const loop = startLoop({
    name: 'certificates',
    topic: 'certificates',
    hints: deps.hints,
    log,
    intervalMs: INTERVAL_MS,
    async pass(signal) {
      if (isFresh) await releaseLeasesOf(db, holder)
      isFresh = false
      await adopt(db)
      await letOrdersThrough(db, now())
      const free = parallelism - running.size
      if (free <= 0) return null
      const mayFail = Math.max(0, Math.floor(parallelism * FAILING_SHARE) - failing)
      const leases = await claimDue(db, holder, { all: free, failing: mayFail })
      for (const lease of leases) start(lease, signal)
      return leases.length === free || mayFail === 0 ? null : msUntilDue(db)
    },
  })
  return {
    wake: loop.wake,
    async stop() {
      await loop.stop()
      await Promise.all(running)
      issuers.close()
    },
  }
}

/** Gives every proven hostname its certificate row, in bounded transactions. */
async function adopt(db: Db): Promise<void> {
  await wakeReproven(db)
  for (;;) {
    const adopted = await write(db, {}, async (tx) => {
      const rows = await adoptHostnames(tx, ADOPT_BATCH)
      for (const { certificateId, tenantId, name } of rows)
        await recordEvent(tx, {
          actor: 'system',
          tenantId,
          action: 'certificate.wanted',
          subjectId: certificateId,
          subjectName: name,
          detail: { names: [name] },
        })
      return rows.length
    })
    if (adopted < ADOPT_BATCH) return
  }
}

/** Works while the lease is renewed; a lease that is lost aborts the work. Never throws. */
async function underLease(
  { db, log }: ManagerDeps,
  lease: Lease,
  stop: AbortSignal,
  work: (signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const lost = new AbortController()
  const renew = (): void => {
    db.$transaction((tx) => holdLease(tx, lease)).catch((error: unknown) => {
      if (error instanceof LeaseLostError) lost.abort(error)
      else log.warn({ err: error }, 'a lease could not be renewed')
    })
  }
  const timer = setInterval(renew, RENEW_LEASE_MS)
  try {
    await work(AbortSignal.any([stop, lost.signal]))
  } catch (error) {
    const isExpected = error instanceof LeaseLostError || stop.aborted || lost.signal.aborted
    if (!isExpected) {
      log.error({ err: error, certificateId: lease.certificateId }, 'working on a certificate failed')
      await new Promise((resolve) => setTimeout(resolve, FAULT_PAUSE_MS))
    }
  } finally {
    clearInterval(timer)
    await releaseLease(db, lease).catch((error: unknown) => log.warn({ err: error }, 'a lease could not be given back'))
  }
}
