import type { Socket } from 'node:net'
import type { SiteRecord } from '../../contract/records.ts'
import type { Deadlines } from '../deadlines.ts'
import { isOurPath } from './challenge.ts'
import type { Connection } from './connection.ts'
import { endConnection } from './farewell.ts'
import { type Held, type HeldSet, holdConnection } from './held.ts'
import { requestHost, siteOfHost } from './host-rules.ts'
import { MAX_HEAD_BYTES, STALL_MS } from './limits.ts'
import type { RecordCache } from './record-cache.ts'
import type { RequestLog } from './request-log.ts'
import { createSplicer, type Splicer } from './splice.ts'
import type { SpliceOutcome } from './splice-passage.ts'
import { createHeadReader, type HeadFields, type StrictHead } from './strict-head.ts'
import { decodePath } from './target.ts'
import type { Upstreams } from './upstream.ts'

/** What the connections of proxy sites need. */
export type SpliceConnectionDeps = {
  readonly records: RecordCache
  readonly upstreams: Upstreams
  readonly deadlines: Deadlines
  readonly open: HeldSet
  readonly log: RequestLog
  /** Takes over a connection, and the bytes that it has sent since its last answer, for good. */
  readonly handOver: (socket: Socket, connection: Connection, bytes: Buffer) => void
}

/**
 * Serves an HTTP/1.1 connection of a proxy site as long as its requests are strict GETs and HEADs that the byte
 * path takes. The first that is something else goes to the full HTTP server with all that follows, byte for byte.
 */
export function serveSpliced(socket: Socket, connection: Connection, deps: SpliceConnectionDeps): void {
  const { deadlines } = deps
  const held = holdConnection(connection, deadlines, (isBusy) => {
    if (!isBusy) part()
  })
  const reader = createHeadReader()
  const splicer = createSplicer(socket, connection, deps)
  const route = createRouter(deps.records, connection)
  let isBusy = false
  let isOver = false
  /** What came while a request was under way: bounded, since the socket is paused when it is much. */
  let waiting: Buffer | null = null

  /** Ends the connection; who does not take the end of its last answer in time is cut off. */
  const part = (): void => {
    isOver = true
    waiting = null
    held.release()
    endConnection(socket, deadlines, STALL_MS)
  }
  const leave = (bytes: Buffer): void => {
    isOver = true
    socket.off('data', onData)
    held.release()
    // Before, not afterwards: an upgrade stops the flow until somebody listens, and what comes meanwhile must wait.
    socket.resume()
    deps.handOver(socket, connection, bytes)
  }
  const onData = (chunk: Buffer): void => {
    if (isOver) return
    if (!isBusy) return void handle(chunk)
    waiting = waiting === null ? chunk : Buffer.concat([waiting, chunk])
    if (waiting.length > MAX_HEAD_BYTES) socket.pause()
  }
  const handle = (bytes: Buffer): void => {
    const head = reader.read(bytes, 0)
    const to = head === null ? null : route(head)
    if (head === null || to === null) return void leave(bytes)
    isBusy = true
    held.begin()
    waiting = head.end < bytes.length ? bytes.subarray(head.end) : null
    const entry = entryOf(connection, head, to.siteId)
    const done = (outcome: SpliceOutcome): void => {
      deps.log(entry(outcome))
      goOn(outcome.keeps)
    }
    if (take(splicer, head, bytes, to, held, done)) return
    isBusy = false
    waiting = null
    held.finish()
    leave(bytes)
  }
  const goOn = (keeps: boolean): void => {
    // A draining connection parts here.
    held.finish()
    if (isOver) return
    if (!keeps) return void part()
    if (waiting === null) {
      isBusy = false
      return
    }
    // Not from within: as many answers as requests were sent ahead would lie on the stack.
    setImmediate(() => {
      isBusy = false
      const next = waiting
      waiting = null
      if (isOver || next === null || socket.destroyed) return
      handle(next)
      if (!isOver) socket.resume()
    })
  }
  deps.open.add(socket, held)
  socket.on('error', () => void socket.destroy())
  socket.on('data', onData)
  socket.resume()
}

type Route = { readonly siteId: string; readonly record: SiteRecord }

/**
 * Finds the site that answers a request on this connection; null where only the full way knows what to answer, also
 * when the records cannot be read. What the last fields led to holds until they or a record change.
 */
function createRouter(records: RecordCache, connection: Connection): (head: StrictHead) => Route | null {
  let fields: HeadFields | null = null
  let epoch = 0
  let known: Route | null = null
  return (head) => {
    if (!isPlainPath(head.target)) return null
    if (head.fields === fields && records.epoch === epoch) return known
    fields = head.fields
    epoch = records.epoch
    known = routeOf(records, connection, head.fields.host)
    return known
  }
}

/** Whether a path is the site's own, and not one that we answer ourselves. */
function isPlainPath(target: string): boolean {
  const mark = target.indexOf('?')
  const path = mark < 0 ? target : target.slice(0, mark)
  const decoded = path.includes('%') ? decodePath(path) : path
  return decoded !== null && !isOurPath(decoded)
}

function routeOf(records: RecordCache, connection: Connection, host: string): Route | null {
  try {
    const name = requestHost([host], null)
    const answer = name === null ? null : siteOfHost(records, connection, name)
    if (answer === null || 'status' in answer) return null
    const record = records.get('site', answer.siteId)
    return record?.kind === 'proxy' && record.state === 'active' ? { siteId: answer.siteId, record } : null
  } catch {
    // The full way tells of it.
    return null
  }
}

function take(
  splicer: Splicer,
  head: StrictHead,
  bytes: Buffer,
  { siteId, record }: Route,
  held: Held,
  done: (outcome: SpliceOutcome) => void,
): boolean {
  const { method, target, fields, fieldsFrom, fieldsEnd } = head
  const mayKeep = (): boolean => fields.keepsAlive && !held.isDraining
  return splicer.take(
    { method, target, host: fields.host, bytes, fieldsFrom, fieldsEnd, mayKeep },
    siteId,
    record,
    done,
  )
}

function entryOf(connection: Connection, head: StrictHead, siteId: string) {
  const startedAtMs = performance.now()
  // While the socket is open: a visitor who leaves early is logged as well.
  connection.tls()
  const { method, target } = head
  const { host, referer, userAgent } = head.fields
  const asked = { connection, siteId, host, method, target, protocol: 'HTTP/1.1', referer, userAgent } as const
  return ({ status, bytes: sent }: SpliceOutcome) => ({
    ...asked,
    status,
    bytes: sent,
    bytesIn: 0,
    durationMs: performance.now() - startedAtMs,
  })
}
