import type { Deadline } from '../deadlines.ts'
import type { Connection } from './connection.ts'
import type { Exchange } from './exchange.ts'
import { FILE_PIECE_BYTES, MAX_OPEN_DOWNLOADS, STALL_BYTES_PER_MS, STALL_MS } from './limits.ts'

/**
 * How many large files are open for one client, each with two pieces in memory. HTTP/2 lets a client ask for a
 * hundred files at once and take none of them: without a bound each would hold a descriptor and its pieces until
 * the deadlines end it.
 */
export type DownloadPlaces = {
  /** Waits for a place, first come first served. False: the exchange is over, and there is no place to give back. */
  take(exchange: Exchange): Promise<boolean>
  give(): void
  /** A piece has left. Who waits while none does, for as long as one may take, is broken off. */
  moved(): void
}

type Waiter = { readonly deadline: Deadline; readonly go: (hasPlace: boolean) => void }

const byConnection = new WeakMap<Connection, DownloadPlaces>()
const PATIENCE_MS = STALL_MS + FILE_PIECE_BYTES / STALL_BYTES_PER_MS

/** The places of a connection, the same for all its exchanges. */
export function downloadPlaces(connection: Connection): DownloadPlaces {
  const known = byConnection.get(connection)
  if (known !== undefined) return known
  const places = createPlaces(MAX_OPEN_DOWNLOADS)
  byConnection.set(connection, places)
  return places
}

function createPlaces(count: number): DownloadPlaces {
  let free = count
  const waiting = new Set<Waiter>()
  const wait = (exchange: Exchange, resolve: (hasPlace: boolean) => void): void => {
    const waiter: Waiter = {
      deadline: exchange.breakOffAfter(PATIENCE_MS),
      go(hasPlace) {
        if (!waiting.delete(waiter)) return
        waiter.deadline.clear()
        resolve(hasPlace)
      },
    }
    waiting.add(waiter)
    exchange.onClose(() => waiter.go(false))
  }
  return {
    take(exchange) {
      if (exchange.isClosed) return Promise.resolve(false)
      if (free === 0) return new Promise((resolve) => wait(exchange, resolve))
      free -= 1
      return Promise.resolve(true)
    },
    give() {
      const next = waiting.values().next()
      if (next.done) free += 1
      else next.value.go(true)
    },
    moved() {
      for (const { deadline } of waiting) deadline.rearm(PATIENCE_MS)
    },
  }
}
