import { ClosedError } from '../../contract/frame-socket.ts'
import type { ControlMessage } from '../../contract/link.ts'
import type { Logger } from '../../process/log.ts'
import { type ChannelOptions, openChannel } from '../link-channel.ts'
import { keepSessions } from '../link-sessions.ts'
import type { Observation } from './observation.ts'

const SEND_LIMIT_MS = 30_000
/** Longest wait for a batch to be in the database. */
const ACK_LIMIT_MS = 60_000

/** Sends counters to the control plane; what is not confirmed stays in the spool. */
export type ReportLink = { close(): Promise<void> }

/** Connects, and again whenever that was lost. Visitors notice nothing, whatever becomes of it. */
export function startReportLink(
  options: ChannelOptions & { readonly observation: Observation; readonly log: Logger },
): ReportLink {
  const { observation, log } = options
  const closing = new AbortController()
  let wake: () => void = () => undefined
  observation.onSpooled(() => wake())
  let hangUp: () => void = () => undefined

  const session = async (): Promise<void> => {
    const position = { feedId: null, revision: 0 }
    const { frames } = await openChannel(options, 'reports', position, closing.signal)
    hangUp = frames.close
    try {
      for (;;) {
        if (closing.signal.aborted) return
        const batch = observation.spool.next()
        if (batch === null) {
          await woken()
          continue
        }
        await frames.send({ type: 'traffic', ...batch }, SEND_LIMIT_MS)
        const answer = (await frames.receive(ACK_LIMIT_MS)) as ControlMessage | undefined
        if (answer?.type !== 'traffic-ack' || answer.sequence !== batch.sequence)
          throw new ClosedError('the control plane did not confirm the counters')
        observation.spool.confirm(batch.sequence)
      }
    } finally {
      frames.close()
    }
  }
  const woken = (): Promise<void> =>
    new Promise((resolve) => {
      wake = resolve
    })
  const running = keepSessions(session, closing.signal, (err) =>
    log.debug({ err }, 'counters cannot be sent; they are kept'),
  )
  return {
    async close() {
      closing.abort()
      wake()
      hangUp()
      await running
    },
  }
}
