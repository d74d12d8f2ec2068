import { setTimeout as sleep } from 'node:timers/promises'
import { LockedError, takeLock } from '../process/lock.ts'
import type { EdgeStore } from './edge-store.ts'

/** A successor that has failed is gone within this. */
const TAKE_BACK_MS = 20_000
const RETRY_MS = 50

/** What the writer holds, in the order in which it is taken. */
export type WriterParts = {
  readonly dataDir: string
  readonly openStore: () => EdgeStore
  /** Starts applying what the control plane sends. */
  readonly startLink: (store: EdgeStore) => OpenLink
}

type OpenLink = { close(): Promise<unknown> }

/** The right to write this edge's records: lock, store and link. One process has it at any time. */
export type WriterRole = {
  /** Starts the link, unless the role was let go before. */
  begin(): void
  /** Ends the link and closes the store, then frees the lock, which is free even when it throws. Twice is once. */
  letGo(): Promise<void>
  /** Takes all of it again. Throws `LockedError` when somebody else holds it for too long. */
  takeBack(): Promise<void>
  readonly isHeld: boolean
}

/** `unlock` and `store` are what the caller has taken already. */
export function createWriterRole(parts: WriterParts, unlock: () => void, store: EdgeStore): WriterRole {
  let held: { unlock: () => void; store: EdgeStore; link: OpenLink | null } | null = { unlock, store, link: null }
  return {
    get isHeld() {
      return held !== null
    },
    begin() {
      if (held !== null) held.link ??= parts.startLink(held.store)
    },
    async letGo() {
      if (held === null) return
      const { link, store, unlock } = held
      held = null
      try {
        await link?.close()
      } finally {
        try {
          store.close()
        } finally {
          unlock()
        }
      }
    },
    async takeBack() {
      const unlock = await lockAgain(parts.dataDir)
      try {
        const store = parts.openStore()
        held = { unlock, store, link: parts.startLink(store) }
      } catch (error) {
        unlock()
        throw error
      }
    },
  }
}

async function lockAgain(dataDir: string): Promise<() => void> {
  const deadline = Date.now() + TAKE_BACK_MS
  for (;;) {
    try {
      return takeLock(dataDir, 'listener')
    } catch (error) {
      if (!(error instanceof LockedError) || Date.now() > deadline) throw error
      await sleep(RETRY_MS)
    }
  }
}
