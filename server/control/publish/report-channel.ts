import type { FrameSocket } from '../../contract/frame-socket.ts'
import { FrameError } from '../../contract/frames.ts'
import { type TrafficAckMessage, type TrafficMessage, trafficProblem } from '../../contract/link.ts'
import type { Db } from '../db.ts'
import { addTraffic } from '../traffic/store.ts'

/** An edge without a visitor has nothing to say; a Unix socket tells when it is gone. */
const SILENCE_LIMIT_MS = 24 * 60 * 60 * 1_000
const SEND_LIMIT_MS = 30_000

/** Takes an edge's counters and confirms each batch once it is in the database, until the connection ends. */
export async function serveReports(db: Db, edgeId: string, socket: FrameSocket): Promise<void> {
  for (;;) {
    const message = await socket.receive(SILENCE_LIMIT_MS)
    if (message === undefined) return
    const problem = trafficProblem(message)
    if (problem !== null) throw new FrameError(problem)
    const batch = message as TrafficMessage
    await addTraffic(db, edgeId, batch)
    const ack: TrafficAckMessage = { type: 'traffic-ack', sequence: batch.sequence }
    await socket.send(ack, SEND_LIMIT_MS)
  }
}
