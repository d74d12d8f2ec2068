import { setTimeout as pause } from 'node:timers/promises'
import type { Db } from '../db.ts'
import type { LiveHostnames, WantedHostname } from '../domains/view.ts'
import type { RecordKey } from './compile.ts'
import { readNameRecords, unackedKeys } from './liveness-store.ts'

/** Longest wait between looks: another replica may hold the link, and acks wake only this process. */
const POLL_MS = 250

/** What every live edge serves: at least one edge, and all whose lease has not run out. */
export type Liveness = {
  /** Whether the newest record of each key is published, and every live edge has acked it without an exception. */
  areAcked(keys: readonly RecordKey[]): Promise<boolean>
  /** Waits until `areAcked`. False when the time is over or `signal` aborts. */
  awaitAcked(keys: readonly RecordKey[], signal: AbortSignal, timeoutMs: number): Promise<boolean>
  /** The ids of those hostnames that every live edge serves with that very site and certificate. */
  readonly liveHostnames: LiveHostnames
  /** An ack was written: whoever waits looks again. */
  acked(): void
}

type Waiter = { readonly keys: readonly RecordKey[]; readonly resolve: (isAcked: boolean) => void }

/** Makes the view of liveness on a database; it holds nothing but those who wait. */
export function createLiveness(db: Db): Liveness {
  const waiters = new Set<Waiter>()
  let isLooking = false
  let wake = new AbortController()

  const look = async (): Promise<void> => {
    const asked = [...waiters]
    const missing = await unackedKeys(
      db,
      asked.flatMap(({ keys }) => keys),
    )
    for (const waiter of asked) {
      if (waiter.keys.some((key) => missing.has(textOf(key)))) continue
      waiters.delete(waiter)
      waiter.resolve(true)
    }
  }
  // One question for all who wait, however many orders are under way.
  const run = async (): Promise<void> => {
    isLooking = true
    while (waiters.size > 0) {
      wake = new AbortController()
      // A database that is down answers later; each waiter has its own limit.
      await look().catch(() => undefined)
      await pause(POLL_MS, undefined, { signal: wake.signal }).catch(() => undefined)
    }
    isLooking = false
  }
  return {
    acked: () => wake.abort(),
    areAcked: async (keys) => (await unackedKeys(db, keys)).size === 0,
    awaitAcked: (keys, signal, timeoutMs) =>
      new Promise((resolve) => {
        const end = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)])
        const waiter: Waiter = { keys, resolve }
        const giveUp = (): void => {
          waiters.delete(waiter)
          resolve(false)
        }
        if (end.aborted) return giveUp()
        end.addEventListener('abort', giveUp, { once: true })
        waiters.add(waiter)
        if (isLooking) wake.abort()
        else void run()
      }),
    liveHostnames: async (hostnames) => {
      const records = await readNameRecords(
        db,
        hostnames.map(({ name }) => name),
      )
      const published = hostnames.filter(({ name, siteId, fingerprint }) => {
        const record = records.get(name)
        return fingerprint !== null && record?.siteId === siteId && record.certificates.includes(fingerprint)
      })
      const missing = await unackedKeys(db, published.flatMap(keysOf))
      const live = published.filter((hostname) => !keysOf(hostname).some((key) => missing.has(textOf(key))))
      return new Set(live.map(({ id }) => id))
    },
  }
}

function keysOf({ name, siteId, fingerprint }: WantedHostname): RecordKey[] {
  const keys: RecordKey[] = [
    { kind: 'name', key: name },
    { kind: 'site', key: siteId },
  ]
  return fingerprint === null ? keys : [...keys, { kind: 'certificate', key: fingerprint }]
}

function textOf({ kind, key }: RecordKey): string {
  return `${kind} ${key}`
}
