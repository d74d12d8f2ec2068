import type { Socket } from 'node:net'
import type { Deadlines } from '../deadlines.ts'
import type { Connection } from './connection.ts'
import { HEAD_MS, IDLE_MS } from './limits.ts'

/** In a drain, a connection may be idle for this long: a request may be on its way, and a close would lose it. */
const PARTING_MS = 3_000
/** From the announcement of a drain to its last word: more than a round trip (RFC 9113 section 6.8). */
const NOTICE_MS = 1_000

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
  /** The connection shall end, and lose no request that the client has sent in good faith. */
  drain(): void
}

/** How a protocol parts from a connection: at once where `isBusy` is false, else by asking no more of it. */
export type Parting = (isBusy: boolean) => void

/**
 * Keeps the deadlines of a connection between its exchanges. Until the first request head is
 * complete they count from the hand-over, later from the end of the last answer, so neither a silent
 * client nor one that drips bytes stays longer.
 *
 * In a drain nobody is cut off who may have asked already: an idle connection has `PARTING_MS` for a
 * request that is on its way, and its answer says that the connection ends. A protocol with a word for
 * that gives `announce`: it is said once the client has asked for something, and `part` follows later.
 */
export function holdConnection(
  connection: Connection,
  deadlines: Deadlines,
  part: Parting,
  announce: (() => void) | null = null,
): Held {
  let active = 0
  let isFresh = true
  let isDraining = false
  let isReleased = false
  let mayPart = false
  const deadline = deadlines.arm(HEAD_MS, () => part(false))
  const tell = (): void => {
    if (announce === null) return
    announce()
    deadlines.arm(NOTICE_MS, () => {
      mayPart = true
      if (!isReleased) part(active > 0)
    })
  }
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
      if (isFresh && isDraining) tell()
      isFresh = false
    },
    finish() {
      active -= 1
      if (active > 0 || isReleased) return
      if (mayPart) part(false)
      else deadline.rearm(isDraining ? PARTING_MS : IDLE_MS)
    },
    touch() {
      if (active === 0 && !isReleased) deadline.rearm(IDLE_MS)
    },
    release() {
      isReleased = true
      deadline.clear()
    },
    drain() {
      if (isDraining) return
      isDraining = true
      if (isReleased) return
      if (active === 0) deadline.rearm(PARTING_MS)
      if (!isFresh) tell()
    },
  }
}

/** Everything that is open, for the drain and for counting (the runtimes' own counts miss adopted sockets). */
export type HeldSet = {
  /** One that comes while a drain is on is drained with the others: it was accepted before. */
  add(socket: Socket, held: Held): void
  drain(): void
  readonly size: number
}

/** Makes an empty set; a socket leaves it, and its deadlines end, when it closes. */
export function createHeldSet(): HeldSet {
  const open = new Map<Socket, Held>()
  let isDraining = false
  return {
    add(socket, held) {
      open.set(socket, held)
      if (isDraining) held.drain()
      socket.on('close', () => {
        open.delete(socket)
        held.release()
      })
    },
    drain() {
      isDraining = true
      for (const held of [...open.values()]) held.drain()
    },
    get size() {
      return open.size
    },
  }
}
