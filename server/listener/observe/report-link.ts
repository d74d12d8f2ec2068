import { setTimeout as pause } from 'node:timers/promises'
import { ClosedError } from '../../contract/frame-socket.ts'
import type { ControlMessage } from '../../contract/link.ts'
import type { Logger } from '../../process/log.ts'
import { type ChannelOptions, openChannel } from '../link-channel.ts'
import type { Observation } from './observation.ts'

const MIN_BACKOFF_MS = 200
/** A control plane of an older version refuses this channel: it is asked again so often. */
const MAX_BACKOFF_MS = 10_000
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
  const run = async (): Promise<void> => {
    let backoffMs = MIN_BACKOFF_MS
    while (!closing.signal.aborted) {
      const since = performance.now()
      await session().catch((err) => log.debug({ err }, 'counters cannot be sent; they are kept'))
      backoffMs = performance.now() - since > MAX_BACKOFF_MS ? MIN_BACKOFF_MS : Math.min(backoffMs * 2, MAX_BACKOFF_MS)
      await pause(backoffMs * (0.5 + Math.random() / 2), undefined, { signal: closing.signal }).catch(() => undefined)
    }
  }
  const running = run()
  return {
    async close() {
      closing.abort()
      wake()
      hangUp()
      await running
    },
  }
}
