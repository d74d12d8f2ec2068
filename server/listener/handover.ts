import { createServer } from 'node:net'
import { type FrameSocket, frameSocket } from '../contract/frame-socket.ts'
import { runSocketPath } from '../process/link-path.ts'
import type { Logger } from '../process/log.ts'
import { OperatorError } from '../process/operator-error.ts'
import { connectTo, listenAlone } from '../process/upgrade-socket.ts'
import type { RecordKey } from './apply.ts'

/**
 * How one supervisor takes over from another (ADR 18):
 *
 *     successor                              predecessor
 *     replace ->                             closes the link, the store, its lock
 *                                         <- yours
 *     opens them, starts its workers
 *     taken ->                               drains its workers
 *     drop keys (as changes come) ->         drops them from those that still drain
 *                                         <- done
 *                                            ends when its last worker has
 *
 * A successor that goes away before `taken` has given back what it took.
 */
type ToPredecessor =
  | { readonly type: 'replace'; readonly protocol: number }
  | { readonly type: 'taken' }
  | { readonly type: 'drop'; readonly id: number; readonly keys: readonly RecordKey[] }
type ToSuccessor =
  | { readonly type: 'yours' }
  | { readonly type: 'refused'; readonly reason: string }
  | { readonly type: 'done'; readonly id: number }

const PROTOCOL = 1
const NAME = 'listener.sock'
const GREETING_MS = 5_000
/** For what the predecessor has under way: a batch that is applied, a disk that is slow. */
const LET_GO_MS = 30_000
/** A frame holds 16 MiB; this many keys are far below it. */
const KEYS_PER_FRAME = 2_000
/** The other side says nothing while its workers start or drain; a Unix socket tells when it is gone. */
const SILENCE_MS = 10 * 60_000

/** The predecessor's side: what it does when it is asked. */
export type HandoverDuties = {
  /** Stops writing; nobody else writes before it resolves. */
  letGo(): Promise<void>
  /** The successor is gone and never took over: writes again. */
  takeBack(): Promise<void>
  /** The successor serves: end the workers, then the process. */
  retire(): void
  /** Drops keys from the caches of the workers that are left. */
  invalidate(keys: readonly RecordKey[]): Promise<void>
}

/** Waits for a successor, on a socket that only this user can open. Resolves with how to end that. */
export async function awaitSuccessor(dataDir: string, duties: HandoverDuties, log: Logger): Promise<() => void> {
  let isAsked = false
  const server = createServer((socket) => {
    const frames = frameSocket(socket)
    if (isAsked) {
      const refusal: ToSuccessor = { type: 'refused', reason: 'another one is taking over already' }
      void frames.send(refusal, GREETING_MS).catch(() => undefined)
      return void socket.end()
    }
    isAsked = true
    serveSuccessor(frames, duties)
      .catch((error: unknown) => log.error({ err: error }, 'handing over to a successor failed'))
      .finally(() => {
        isAsked = false
        frames.close()
      })
  })
  await listenAlone(server, runSocketPath(dataDir, NAME))
  return () => void server.close()
}

async function serveSuccessor(frames: FrameSocket, duties: HandoverDuties): Promise<void> {
  const say = (message: ToSuccessor): Promise<void> => frames.send(message, GREETING_MS)
  const request = (await frames.receive(GREETING_MS)) as ToPredecessor | undefined
  if (request?.type !== 'replace') return
  if (request.protocol !== PROTOCOL)
    return say({ type: 'refused', reason: 'the running version hands over in another way: restart the listener' })
  let hasTaken = false
  try {
    await duties.letGo()
    await say({ type: 'yours' })
    for (;;) {
      const message = (await frames.receive(SILENCE_MS)) as ToPredecessor | undefined
      if (message === undefined) return
      if (message.type === 'taken') {
        hasTaken = true
        duties.retire()
      } else if (message.type === 'drop') {
        await duties.invalidate(message.keys)
        await say({ type: 'done', id: message.id })
      }
    }
  } finally {
    if (!hasTaken) await duties.takeBack()
  }
}

/** There is nobody to take over from, or they do not hand over. */
export class HandoverError extends OperatorError {
  override name = 'HandoverError'
}

/** The successor's side, once the predecessor has let go. */
export type Predecessor = {
  /** Says that our workers serve: its own end after their connections. */
  taken(): Promise<void>
  /** Resolves when its workers that still drain have dropped these: true; or when it is gone: false. Never rejects. */
  invalidate(keys: readonly RecordKey[]): Promise<boolean>
}

/** Asks the running supervisor of a data directory to let go. Throws `HandoverError`. */
export async function askPredecessor(dataDir: string): Promise<Predecessor> {
  const socket = await connectTo(runSocketPath(dataDir, NAME)).catch((cause: Error) => {
    throw new HandoverError(`${dataDir}: no listener runs that could hand over (${cause.message})`, { cause })
  })
  const frames = frameSocket(socket)
  const say = (message: ToPredecessor): Promise<void> => frames.send(message, GREETING_MS)
  await say({ type: 'replace', protocol: PROTOCOL })
  const answer = (await frames.receive(LET_GO_MS)) as ToSuccessor | undefined
  if (answer?.type !== 'yours') {
    frames.close()
    throw new HandoverError(answer?.type === 'refused' ? answer.reason : 'the running listener does not hand over')
  }
  let lastId = 0
  let isGone = false
  const waiting = new Map<number, () => void>()
  const hear = async (): Promise<void> => {
    for (;;) {
      const message = (await frames.receive(SILENCE_MS)) as ToSuccessor | undefined
      if (message === undefined) return
      if (message.type === 'done') waiting.get(message.id)?.()
    }
  }
  const listening = hear()
    .catch(() => undefined)
    .then(() => {
      isGone = true
      for (const confirm of waiting.values()) confirm()
    })
  const drop = async (keys: readonly RecordKey[]): Promise<void> => {
    if (isGone) return
    lastId += 1
    const id = lastId
    const confirmed = new Promise<void>((resolve) => waiting.set(id, resolve))
    await say({ type: 'drop', id, keys }).catch(() => frames.close())
    await Promise.race([confirmed, listening])
    waiting.delete(id)
  }
  return {
    taken: () => say({ type: 'taken' }),
    async invalidate(keys) {
      for (let at = 0; at < keys.length; at += KEYS_PER_FRAME) await drop(keys.slice(at, at + KEYS_PER_FRAME))
      return !isGone
    },
  }
}
