import { Readable } from 'node:stream'
import type { Logger } from '../../process/log.ts'
import { type Actor, requireUser } from '../auth/access.ts'
import type { Db } from '../db.ts'
import { AppError } from '../errors.ts'
import type { StreamQuery } from '../events/schema.ts'
import type { Event } from '../generated/client.ts'
import type { Hints } from '../jobs/hints.ts'
import { type Loop, startLoop } from '../jobs/loop.ts'
import { createEventTail } from './tail.ts'
import { eventView, maySee, visibleEvents } from './visibility.ts'

/** Comments keep proxies and browsers from giving the connection up; access is checked anew each time. */
const HEARTBEAT_MS = 15_000
const POLL_MS = 5_000
const MAX_PER_USER = 10
const MAX_STREAMS = 2_000
/** A reader that lets this much pile up is cut off; it resumes by Last-Event-ID. */
const MAX_BUFFERED_BYTES = 1024 * 1024
const MAX_REPLAY = 1_000
/** On a resume events of the last minute are told again: one with a lower id may have committed later. */
const OVERLAP_IDS = 1_000n
const OVERLAP_MS = 60_000

/** Live events for many readers from one reading of the table. */
export type EventStreams = {
  /**
   * Opens a stream of what the actor may see, as Server-Sent Events (HTML Living Standard 9.2). Each
   * event is told at least once; its `id` tells repeats. `checkActor` is asked again while it is open.
   * Throws TOO_MANY_REQUESTS when the user has too many open.
   */
  open(actor: Actor, query: StreamQuery, checkActor: () => Promise<Actor>): Promise<Readable>
  /** Ends all streams. */
  close(): Promise<void>
}

type Stream = {
  readonly userId: string
  readonly query: StreamQuery
  readonly output: Readable
  readonly checkActor: () => Promise<Actor>
  actor: Actor
}

/** Starts following the events. `heartbeatMs` is for tests. */
export function createEventStreams(deps: {
  readonly db: Db
  readonly hints: Hints
  readonly log: Logger
  readonly heartbeatMs?: number
}): EventStreams {
  const { db, hints, log } = deps
  const streams = new Set<Stream>()
  let loop: Loop | null = null
  let starting: Promise<void> | null = null

  const startFollowing = async (): Promise<void> => {
    const newest = await db.event.findFirst({ orderBy: { id: 'desc' }, select: { id: true } })
    const tail = createEventTail(db, newest?.id ?? 0n)
    const pass = async (): Promise<number | null> => {
      const events = await tail.read()
      for (const stream of streams) sendAll(stream, events)
      return events.length > 0 ? 0 : null
    }
    loop = startLoop({ name: 'events', topic: 'events', hints, log, intervalMs: POLL_MS, pass })
  }
  const heartbeat = setInterval(() => {
    for (const stream of streams) void recheck(stream)
  }, deps.heartbeatMs ?? HEARTBEAT_MS)
  heartbeat.unref()

  const recheck = async (stream: Stream): Promise<void> => {
    try {
      const actor = await stream.checkActor()
      visibleEvents(actor)
      stream.actor = actor
      send(stream, ': still here\n\n')
    } catch (error) {
      if (error instanceof AppError) stream.output.push(null)
      else log.warn({ err: error }, 'the access of an event stream was not checked')
    }
  }

  return {
    async open(actor, query, checkActor) {
      const { userId } = requireUser(actor)
      visibleEvents(actor)
      const own = [...streams].filter((stream) => stream.userId === userId).length
      if (own >= MAX_PER_USER || streams.size >= MAX_STREAMS)
        throw new AppError('TOO_MANY_REQUESTS', 'Too many event streams are open; close one.', {
          retryAfterSeconds: 30,
        })
      const output = new Readable({ read: () => undefined })
      const stream: Stream = { userId, query, output, checkActor, actor }
      output.on('close', () => streams.delete(stream))
      output.push('retry: 2000\n\n')
      streams.add(stream)
      try {
        starting ??= startFollowing()
        await starting
        if (query.after !== undefined) sendAll(stream, await missed(db, stream, BigInt(query.after)))
      } catch (error) {
        if (loop === null) starting = null
        output.destroy()
        throw error
      }
      return output
    },
    async close() {
      clearInterval(heartbeat)
      for (const { output } of streams) output.push(null)
      await starting?.catch(() => undefined)
      await loop?.stop()
    },
  }
}

function sendAll(stream: Stream, events: readonly Event[]): void {
  for (const event of events) if (isFor(stream, event)) send(stream, textOf(event))
}

function isFor({ actor, query }: Stream, event: Event): boolean {
  if (query.tenantId !== undefined && query.tenantId !== event.tenantId) return false
  if (query.subjectId !== undefined && query.subjectId !== event.subjectId) return false
  return maySee(actor, event)
}

function send({ output }: Stream, text: string): void {
  if (output.destroyed || output.readableEnded) return
  output.push(text)
  if (output.readableLength > MAX_BUFFERED_BYTES) output.destroy()
}

function textOf(event: Event): string {
  const view = eventView(event)
  return `id: ${view.id}\ndata: ${JSON.stringify(view)}\n\n`
}

async function missed(db: Db, { actor, query }: Stream, after: bigint): Promise<Event[]> {
  const rows = await db.event.findMany({
    where: {
      AND: [
        visibleEvents(actor),
        query.tenantId === undefined ? {} : { tenantId: query.tenantId },
        query.subjectId === undefined ? {} : { subjectId: query.subjectId },
        {
          OR: [
            { id: { gt: after } },
            { id: { gt: after - OVERLAP_IDS, lt: after }, at: { gt: new Date(Date.now() - OVERLAP_MS) } },
          ],
        },
      ],
    },
    orderBy: { id: 'desc' },
    take: MAX_REPLAY,
  })
  return rows.reverse()
}
