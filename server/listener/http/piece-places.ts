import type { Connection } from './connection.ts'
import { MAX_PIECES_IN_FLIGHT } from './limits.ts'

/**
 * How many pieces of large files wait in memory for one client. HTTP/2 lets a client ask for a hundred files at
 * once and take none of them: without a bound each would hold its pieces until the deadlines end it.
 */
export type PiecePlaces = {
  /** Waits for a place. */
  take(): Promise<void>
  give(): void
}

const byConnection = new WeakMap<Connection, PiecePlaces>()

/** The places of a connection, the same for all its exchanges. */
export function piecePlaces(connection: Connection): PiecePlaces {
  const known = byConnection.get(connection)
  if (known !== undefined) return known
  const places = createPlaces(MAX_PIECES_IN_FLIGHT)
  byConnection.set(connection, places)
  return places
}

function createPlaces(count: number): PiecePlaces {
  let free = count
  const waiting: (() => void)[] = []
  return {
    take() {
      if (free === 0) return new Promise((resolve) => void waiting.push(resolve))
      free -= 1
      return Promise.resolve()
    },
    give() {
      const next = waiting.shift()
      if (next === undefined) free += 1
      else next()
    },
  }
}
