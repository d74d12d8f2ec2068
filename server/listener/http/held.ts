import type { Socket } from 'node:net'
import type { Deadlines } from '../deadlines.ts'
import type { Connection } from './connection.ts'
import { HEAD_MS, IDLE_MS } from './limits.ts'

/** One open connection that this worker serves. */
export type Held = {
  readonly connection: Connection
  /** Answers from now on say that the connection ends. */
  readonly isDraining: boolean
  /** Exchanges that are not over. */
  readonly active: number
  /** An exchange begins: no idle deadline while one is there. */
  begin(): void
  /** It is over. */
  finish(): void
  /** One began and was over at once: the idle time counts anew. */
  touch(): void
  /** From here on somebody else keeps the deadlines (an upgraded connection). */
  release(): void
  drain(): void
}

/** How a protocol parts from a connection: at once where `isBusy` is false, else by asking no more of it. */
export type Parting = (isBusy: boolean) => void

/**
 * Keeps the deadlines of a connection between its exchanges. Until the first request head is
 * complete they count from the hand-over, later from the end of the last answer, so neither a silent
 * client nor one that drips bytes stays longer.
 */
export function holdConnection(connection: Connection, deadlines: Deadlines, part: Parting): Held {
  let active = 0
  let isDraining = false
  let isReleased = false
  const deadline = deadlines.arm(HEAD_MS, () => part(false))
  return {
    connection,
    get isDraining() {
      return isDraining
    },
    get active() {
      return active
    },
    begin() {
      active += 1
      deadline.clear()
    },
    finish() {
      active -= 1
      if (active > 0 || isReleased) return
      if (isDraining) part(false)
      else deadline.rearm(IDLE_MS)
    },
    touch() {
      if (active === 0 && !isReleased) deadline.rearm(IDLE_MS)
    },
    release() {
      isReleased = true
      deadline.clear()
    },
    drain() {
      isDraining = true
      if (!isReleased) part(active > 0)
    },
  }
}

/** Everything that is open, for the drain and for counting (the runtimes' own counts miss adopted sockets). */
export type HeldSet = {
  add(socket: Socket, held: Held): void
  drain(): void
  readonly size: number
}

/** Makes an empty set; a socket leaves it, and its deadlines end, when it closes. */
export function createHeldSet(): HeldSet {
  const open = new Map<Socket, Held>()
  return {
    add(socket, held) {
      open.set(socket, held)
      socket.on('close', () => {
        open.delete(socket)
        held.release()
      })
    },
    drain() {
      for (const held of [...open.values()]) held.drain()
    },
    get size() {
      return open.size
    },
  }
}
