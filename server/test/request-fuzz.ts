import type { Runtime } from '../listener/worker-command.ts'
import { createTestAuthority } from './certificates.ts'
import { openRaw, readAll, request } from './http-requests.ts'
import { nameRecord, siteRecord, startListenerRig } from './listener-rig.ts'
import { mutate, seededRandom } from './mutations.ts'
import { requestShapes, shapeBytes } from './request-shapes.ts'

/** Requests that go out on one connection; it ends at the first that is refused. */
const IN_A_ROW = 10
const AT_ONCE = 8
const host = 'a.example.com'

/** What came of a run. */
export type RequestFuzz = {
  readonly sent: number
  readonly statuses: ReadonlyMap<string, number>
  /** Answers that hold another site's content. */
  readonly wrong: readonly string[]
  /** The worker that served the last request is the one that served the first. */
  readonly isSameWorker: boolean
}

/** Sends so many mutated requests to one of two sites. Throws when the other is not served afterwards. */
export async function fuzzRequests(runtime: Runtime, count: number, seed: number): Promise<RequestFuzz> {
  const certificate = await (await createTestAuthority()).issue([host, 'b.example.com'])
  await using rig = await startListenerRig({
    runtime,
    records: (parts) => [
      parts.certificate(certificate),
      nameRecord(host, 'a', certificate),
      nameRecord('b.example.com', 'b', certificate),
      siteRecord('a', { manifest: parts.release({ 'index.html': 'content of A' }) }),
      siteRecord('b', { manifest: parts.release({ 'index.html': 'content of B' }) }),
    ],
  })
  const before = rig.pids()
  const random = seededRandom(seed)
  const originals = requestShapes.map((shape) => Buffer.from(shapeBytes(shape, host, ''), 'latin1'))
  const statuses = new Map<string, number>()
  const wrong: string[] = []
  let sent = 0
  const sendOne = async (): Promise<void> => {
    const socket = await openRaw({ port: rig.httpsPort, serverName: host })
    const answer = readAll(socket)
    const row = Array.from({ length: IN_A_ROW }, () => mutate(originals[random(originals.length)] as Buffer, random))
    socket.end(Buffer.concat(row))
    const text = await answer
    for (const [, status = ''] of text.matchAll(/HTTP\/1\.1 (\d{3}) /g))
      statuses.set(status, (statuses.get(status) ?? 0) + 1)
    if (text.includes('content of B')) wrong.push(Buffer.concat(row).toString('base64'))
  }
  const lane = async (): Promise<void> => {
    while (sent < count) {
      sent += IN_A_ROW
      await sendOne()
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, lane))
  const { body } = await request({ port: rig.httpsPort, host: 'b.example.com' })
  if (body.toString() !== 'content of B') throw new Error(`the neighbour is not served any more, seed ${seed}`)
  return { sent, statuses, wrong, isSameWorker: before.join() === rig.pids().join() }
}
