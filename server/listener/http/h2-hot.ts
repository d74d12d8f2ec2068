import { constants, type IncomingHttpHeaders, type OutgoingHttpHeaders, type ServerHttp2Stream } from 'node:http2'
import type { Deadlines } from '../deadlines.ts'
import type { Connection } from './connection.ts'
import { type Fields, isSendable } from './exchange.ts'
import type { FastAsked, FastSite, FastSites, ReadyAnswer } from './fast-sites.ts'
import { grouped, type HotStream } from './h2.ts'
import { MAX_HEADER_FIELDS, STALL_BYTES_PER_MS, STALL_MS } from './limits.ts'
import type { RequestLog } from './request-log.ts'
import { parseTarget } from './target.ts'

const { NGHTTP2_FLAG_END_STREAM, NGHTTP2_INTERNAL_ERROR } = constants

/** Answers streams whose answer lies ready in memory: one head, one piece of body, no exchange. */
export function createHotStreams(deps: { sites: FastSites; deadlines: Deadlines; log: RequestLog }): HotStream {
  const siteOf = createSiteMemory(deps.sites)
  return (stream, headers, flags, rawHeaders, held) => {
    if ((flags & NGHTTP2_FLAG_END_STREAM) === 0 || rawHeaders.length > MAX_HEADER_FIELDS * 2) return false
    const found = stream.destroyed || stream.closed ? null : findReady(deps.sites, siteOf, held.connection, headers)
    if (found === null) return false
    const { asked, siteId, ready } = found
    const startedAtMs = performance.now()
    held.begin()
    const bytes = ready.body?.length ?? 0
    const stall = deps.deadlines.arm(STALL_MS + bytes / STALL_BYTES_PER_MS, () => stream.close(NGHTTP2_INTERNAL_ERROR))
    stream.once('close', () => {
      stall.clear()
      held.finish()
      const durationMs = performance.now() - startedAtMs
      deps.log({ ...entryOf(held.connection, asked, headers), siteId, status: ready.status, bytes, durationMs })
    })
    send(stream, ready, found.known)
    return true
  }
}

type Found = {
  readonly asked: Asked
  readonly siteId: string
  readonly ready: ReadyAnswer
  readonly known: OutgoingHttpHeaders
}

/** `FastSites.siteOf`, whose last answer for a connection holds until its host or a record changes. */
function createSiteMemory(sites: FastSites): FastSites['siteOf'] {
  const last = new WeakMap<Connection, { host: string; epoch: number; site: FastSite | null }>()
  return (connection, host) => {
    const known = last.get(connection)
    if (known !== undefined && known.host === host && known.epoch === sites.epoch) return known.site
    // Before: what a change brings meanwhile is asked for again.
    const { epoch } = sites
    const site = sites.siteOf(connection, host)
    last.set(connection, { host, epoch, site })
    return site
  }
}

function findReady(
  sites: FastSites,
  siteOf: FastSites['siteOf'],
  connection: Connection,
  headers: IncomingHttpHeaders,
): Found | null {
  const asked = askedOf(headers)
  const site = asked === null ? null : siteOf(connection, asked.host)
  if (asked === null || site === null) return null
  const ready = sites.ready(site, asked)
  const known = ready === null ? null : headersFor(ready.fields)
  return ready === null || known === null ? null : { asked, siteId: site.siteId, ready, known }
}

type Asked = FastAsked & { readonly host: string }

/** What the head asks for; null for what only the full path may judge. */
function askedOf(headers: IncomingHttpHeaders): Asked | null {
  const { ':method': method, ':path': target = '', ':authority': host } = headers
  if ((method !== 'GET' && method !== 'HEAD') || host === undefined || headers.host !== undefined) return null
  if (parseTarget(target)?.authority !== null) return null
  const acceptEncoding = headers['accept-encoding']
  if (Array.isArray(acceptEncoding)) return null
  const hasOtherConditions =
    headers.range !== undefined ||
    headers['if-range'] !== undefined ||
    headers['if-match'] !== undefined ||
    headers['if-unmodified-since'] !== undefined
  const conditions = { ifNoneMatch: headers['if-none-match'], ifModifiedSince: headers['if-modified-since'] }
  return { method, target, host, fields: { acceptEncoding, hasOtherConditions, ...conditions } }
}

const headersOf = new WeakMap<Fields, OutgoingHttpHeaders>()

/** Made once for each representation; null where a field cannot be sent, which the full path tells of. */
function headersFor(fields: Fields): OutgoingHttpHeaders | null {
  const known = headersOf.get(fields)
  if (known !== undefined) return known
  if (!fields.every(([name, value]) => isSendable(name, value))) return null
  const made = grouped(fields)
  headersOf.set(fields, made)
  return made
}

function send(stream: ServerHttp2Stream, { status, contentLength, body }: ReadyAnswer, known: OutgoingHttpHeaders) {
  const headers: OutgoingHttpHeaders = { ':status': status, ...known }
  if (contentLength !== null) headers['content-length'] = contentLength
  stream.respond(headers, { endStream: body === null })
  if (body !== null) stream.end(body)
}

function entryOf(connection: Connection, { host, method, target }: Asked, headers: IncomingHttpHeaders) {
  const referer = headers.referer ?? ''
  const userAgent = headers['user-agent'] ?? ''
  return { connection, host, method, target, protocol: 'HTTP/2.0', bytesIn: 0, referer, userAgent } as const
}
