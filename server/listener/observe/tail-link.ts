import { ClosedError } from '../../contract/frame-socket.ts'
import { FrameError } from '../../contract/frames.ts'
import { type FollowMessage, followProblem, type TailMessage } from '../../contract/link.ts'
import type { Logger } from '../../process/log.ts'
import { type ChannelOptions, openChannel } from '../link-channel.ts'
import { keepSessions } from '../link-sessions.ts'
import type { LogTail } from './log-tail.ts'

/** How long lines are collected before they are sent. */
const COLLECT_MS = 250
const SEND_LIMIT_MS = 30_000
/** While nobody follows a log nothing is said; a Unix socket tells when it is gone. */
const SILENCE_LIMIT_MS = 24 * 60 * 60 * 1_000

/** Sends lines of access logs to the control plane for those who follow them there. */
export type TailLink = { close(): Promise<void> }

/** Connects, and again whenever that was lost. A control plane that is slow costs lines, never memory. */
export function startTailLink(options: ChannelOptions & { readonly tail: LogTail; readonly log: Logger }): TailLink {
  const { tail, log } = options
  const closing = new AbortController()
  let hangUp: () => void = () => undefined

  const session = async (): Promise<void> => {
    const { frames } = await openChannel(options, 'tail', { feedId: null, revision: 0 }, closing.signal)
    hangUp = frames.close
    let isSending = false
    const send = async (): Promise<void> => {
      if (isSending) return
      isSending = true
      try {
        for (const taken of tail.take()) {
          const message: TailMessage = { type: 'lines', ...taken }
          await frames.send(message, SEND_LIMIT_MS)
        }
        isSending = false
      } catch {
        // `receive` tells of it.
        frames.close()
      }
    }
    const timer = setInterval(() => void send(), COLLECT_MS)
    try {
      for (;;) {
        const message = await frames.receive(SILENCE_LIMIT_MS)
        if (closing.signal.aborted) return
        if (message === undefined) throw new ClosedError('the control plane has ended the connection')
        const problem = followProblem(message)
        if (problem !== null) throw new FrameError(problem)
        tail.follow((message as FollowMessage).siteIds)
      }
    } finally {
      clearInterval(timer)
      tail.follow([])
      frames.close()
    }
  }
  const running = keepSessions(session, closing.signal, (err) => log.debug({ err }, 'logs cannot be followed'))
  return {
    async close() {
      closing.abort()
      hangUp()
      await running
    },
  }
}
