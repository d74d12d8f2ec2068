import { Readable } from 'node:stream'
import { MAX_FOLLOWED_SITES, type TailMessage } from '../../contract/link.ts'
import { type SiteOptionsInput, siteOptions } from '../../contract/site-options.ts'
import type { Logger } from '../../process/log.ts'
import { type Actor, requireTenant, requireUser } from '../auth/access.ts'
import type { Db } from '../db.ts'
import { AppError, notFound } from '../errors.ts'

/** Comments keep proxies and browsers from giving the connection up; access is checked anew each time. */
const HEARTBEAT_MS = 15_000
const MAX_PER_USER = 5
/** A reader that lets this much pile up misses lines until it has read them. */
const MAX_BUFFERED_BYTES = 1024 * 1024

/** Access logs as they are written, for those who watch. Nothing is kept: who comes later has the files. */
export type LogTails = {
  /**
   * Follows the log of a site, as Server-Sent Events (HTML Living Standard 9.2): `data` is a line, and an event
   * `missed` has the number of lines that were too many. For people of its tenant and of the platform; `checkActor` is
   * asked again while it is open. Throws CONFLICT where the site has no log, TOO_MANY_REQUESTS when too many are open.
   */
  open(actor: Actor, siteId: string, checkActor: () => Promise<Actor>): Promise<Readable>
  /** For an edge: `tell` hears all sites that are followed, now and at each change. Call what it returns at the end. */
  connect(tell: (siteIds: readonly string[]) => void): () => void
  /** What an edge has written. */
  take(message: Omit<TailMessage, 'type'>): void
  /** Ends all streams. */
  close(): void
}

type Reader = {
  readonly userId: string
  readonly siteId: string
  readonly output: Readable
  readonly checkActor: () => Promise<Actor>
  missed: number
}

/** Makes it. `heartbeatMs` is for tests. */
export function createLogTails(deps: {
  readonly db: Db
  readonly log: Logger
  readonly heartbeatMs?: number
}): LogTails {
  const { db, log } = deps
  const readers = new Set<Reader>()
  const edges = new Set<(siteIds: readonly string[]) => void>()
  let told = ''

  const followed = (): string[] => [...new Set([...readers].map(({ siteId }) => siteId))].sort()
  const tellEdges = (): void => {
    const siteIds = followed()
    if (siteIds.join() === told) return
    told = siteIds.join()
    for (const tell of edges) tell(siteIds)
  }
  const recheck = async (reader: Reader): Promise<void> => {
    try {
      await requireLog(db, await reader.checkActor(), reader.siteId)
      send(reader, ': still here\n\n')
    } catch (error) {
      if (error instanceof AppError) reader.output.push(null)
      else log.warn({ err: error }, 'the access of one who follows a log was not checked')
    }
  }
  const heartbeat = setInterval(() => {
    for (const reader of readers) void recheck(reader)
  }, deps.heartbeatMs ?? HEARTBEAT_MS)
  heartbeat.unref()

  return {
    async open(actor, siteId, checkActor) {
      const { userId } = requireUser(actor)
      await requireLog(db, actor, siteId)
      const own = [...readers].filter((reader) => reader.userId === userId).length
      if (own >= MAX_PER_USER || readers.size >= MAX_FOLLOWED_SITES)
        throw new AppError('TOO_MANY_REQUESTS', 'Too many logs are followed at this moment; close one.', {
          retryAfterSeconds: 30,
        })
      const output = new Readable({ read: () => undefined })
      const reader: Reader = { userId, siteId, output, checkActor, missed: 0 }
      readers.add(reader)
      output.on('close', () => {
        readers.delete(reader)
        tellEdges()
      })
      output.push('retry: 2000\n\n')
      tellEdges()
      return output
    },
    connect(tell) {
      edges.add(tell)
      tell(followed())
      return () => void edges.delete(tell)
    },
    take({ siteId, lines, leftOut }) {
      for (const reader of readers) if (reader.siteId === siteId) sendLines(reader, lines, leftOut)
    },
    close() {
      clearInterval(heartbeat)
      for (const { output } of readers) output.push(null)
    },
  }
}

async function requireLog(db: Db, actor: Actor, siteId: string): Promise<void> {
  requireUser(actor)
  const site = await db.site.findUnique({ where: { id: siteId }, select: { tenantId: true, options: true } })
  if (site === null) throw notFound('site')
  requireTenant(actor, site.tenantId, 'viewer', 'site')
  if (siteOptions(site.options as SiteOptionsInput).accessLog) return
  throw new AppError('CONFLICT', 'The access log of this site is off; turn it on by its option "accessLog".')
}

function sendLines(reader: Reader, lines: readonly string[], leftOut: number): void {
  if (reader.output.readableLength > MAX_BUFFERED_BYTES) {
    reader.missed += lines.length + leftOut
    return
  }
  let text = ''
  for (const line of lines) text += `data: ${line}\n\n`
  const missed = reader.missed + leftOut
  reader.missed = 0
  send(reader, missed === 0 ? text : `${text}event: missed\ndata: ${missed}\n\n`)
}

function send({ output }: Reader, text: string): void {
  if (!output.destroyed && !output.readableEnded) output.push(text)
}
