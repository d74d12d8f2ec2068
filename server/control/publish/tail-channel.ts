import { ClosedError, type FrameSocket } from '../../contract/frame-socket.ts'
import { FrameError } from '../../contract/frames.ts'
import { type FollowMessage, type TailMessage, tailProblem } from '../../contract/link.ts'

/** An edge at which nobody follows a log has nothing to say; a Unix socket tells when it is gone. */
const SILENCE_LIMIT_MS = 24 * 60 * 60 * 1_000
const SEND_LIMIT_MS = 30_000

/** Who wants lines of access logs, as far as edges are concerned. */
export type LineTaker = {
  /** Calls `tell` with all sites that are followed, now and at each change, until the returned function is called. */
  connect(tell: (siteIds: readonly string[]) => void): () => void
  take(message: Omit<TailMessage, 'type'>): void
}

/** Tells an edge which logs are followed, and takes their lines, until the connection ends. */
export async function serveTail(taker: LineTaker, socket: FrameSocket): Promise<void> {
  const disconnect = taker.connect((siteIds) => {
    const message: FollowMessage = { type: 'follow', siteIds }
    socket.send(message, SEND_LIMIT_MS).catch(() => socket.close())
  })
  try {
    for (;;) {
      const message = await socket.receive(SILENCE_LIMIT_MS)
      if (message === undefined) throw new ClosedError('the edge has ended the connection')
      const problem = tailProblem(message)
      if (problem !== null) throw new FrameError(problem)
      taker.take(message as TailMessage)
    }
  } finally {
    disconnect()
  }
}
