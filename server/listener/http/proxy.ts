import type { ClientRequest, IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { PANEL_HOP_FIELD } from '../../contract/panel-hop.ts'
import type { SiteRecord } from '../../contract/records.ts'
import type { Deadlines } from '../deadlines.ts'
import type { PanelHop } from '../panel-hop.ts'
import { sendErrorPage, sendSitePage } from './error-pages.ts'
import type { Exchange } from './exchange.ts'
import { type Framing, timesPassed, upstreamFields, visitorFields } from './forwarded-fields.ts'
import { MAX_BODY_BYTES, MAX_TIMES_PASSED, MAX_UPSTREAM_TRIES, UPSTREAM_GAP_MS } from './limits.ts'
import { forwardBody, framingOf } from './request-body.ts'
import type { Target } from './target.ts'
import { acceptTunnel, wantsTunnel } from './tunnel.ts'
import type { Upstreams } from './upstream.ts'
import { type Peer, UpstreamBusyError, type UpstreamGroup } from './upstream-group.ts'
import { UpstreamForbiddenError } from './upstream-reach.ts'

/** What proxying needs. */
export type ProxyDeps = {
  readonly upstreams: Upstreams
  readonly deadlines: Deadlines
  readonly panelHop: PanelHop
}

/** One request on its way. */
type Passage = {
  readonly exchange: Exchange
  readonly group: UpstreamGroup
  readonly authority: string
  readonly target: Target
  readonly framing: Framing
  /** Upstreams that failed for it, and connections that were used, stale ones included. */
  readonly tried: Peer[]
  tries: number
}

/** Methods that may be sent again while nothing was answered (RFC 9110 section 9.2.2). */
const REPEATABLE = new Set(['GET', 'HEAD', 'OPTIONS'])

/** Answers from one of the site's upstreams; 502 or 504 where none can be had, 503 where there is no room for it. */
export function serveProxy(
  exchange: Exchange,
  deps: ProxyDeps,
  siteId: string,
  record: SiteRecord,
  request: { readonly authority: string; readonly target: Target },
): void {
  if (timesPassed(exchange.rawHeaders) >= MAX_TIMES_PASSED) return void sendErrorPage(exchange, 508)
  const group = deps.upstreams.of(siteId, record)
  const framing = framingOf(exchange, group.options.maxBodyBytes ?? MAX_BODY_BYTES)
  if (typeof framing === 'number') return void sendErrorPage(exchange, framing)
  tryNext({ exchange, group, framing, ...request, tried: [], tries: 0 }, deps, 502)
}

/** Goes on with another upstream, or answers `status` where none is left. */
function tryNext(passage: Passage, deps: ProxyDeps, status: 502 | 504): void {
  const peer = passage.tries < MAX_UPSTREAM_TRIES ? passage.group.choose(passage.tried) : null
  if (peer === null) fail(passage, status)
  else pass(passage, peer, deps)
}

function pass(passage: Passage, peer: Peer, deps: ProxyDeps): void {
  const { exchange, group } = passage
  const { connectTimeoutMs, responseTimeoutMs } = group.options.proxy
  passage.tries += 1
  const upstream = begin(passage, peer, deps)
  if (upstream === null) return
  let state: 'connecting' | 'waiting' | 'answering' | 'over' = 'connecting'
  let answer: IncomingMessage | null = null
  const deadline = deps.deadlines.arm(connectTimeoutMs, () => {
    const before = state
    state = 'over'
    upstream.destroy()
    if (before === 'answering') return exchange.abort()
    // Whoever took the request in time may still be at it: only what was never sent goes to another.
    failedAt(passage, peer, deps, before === 'connecting', 504)
  })
  const wait = (): void => {
    if (state === 'waiting') deadline.rearm(responseTimeoutMs)
  }
  const giveUp = (): void => {
    // An answer that has begun fails where it is read.
    if (state === 'answering' || state === 'over') return
    const wasSent = state === 'waiting'
    state = 'over'
    deadline.clear()
    const mayRepeat = !wasSent || isRepeatable(exchange)
    if (wasSent && mayRepeat && upstream.reusedSocket && passage.tries < MAX_UPSTREAM_TRIES) pass(passage, peer, deps)
    else failedAt(passage, peer, deps, mayRepeat, 502)
  }
  whenConnected(upstream, peer.address.isTls, () => {
    if (state !== 'connecting' || exchange.isClosed) return
    state = 'waiting'
    wait()
    if (!exchange.hasBody) return
    const most = group.options.maxBodyBytes ?? MAX_BODY_BYTES
    forwardBody(exchange, upstream, passage.framing, most, deps.deadlines, wait)
  })
  upstream.on('response', (response) => {
    if (state === 'over') return
    state = 'answering'
    answer = response
    void relay(passage, peer, upstream, response, () => deadline.rearm(UPSTREAM_GAP_MS))
  })
  upstream.on('upgrade', (response, socket, head) => {
    state = 'over'
    deadline.clear()
    if (acceptTunnel(exchange, response, socket as Socket, head, deps.deadlines)) return group.succeeded(peer)
    socket.destroy()
    failedAt(passage, peer, deps, false, 502)
  })
  upstream.on('error', giveUp)
  upstream.on('close', giveUp)
  exchange.onClose(() => {
    state = 'over'
    deadline.clear()
    if (!upstream.writableFinished || answer?.complete !== true) upstream.destroy()
  })
}

function begin(passage: Passage, peer: Peer, deps: ProxyDeps): ClientRequest | null {
  const { exchange, group, authority, target, framing } = passage
  const fields = upstreamFields(exchange, authority, framing)
  if (wantsTunnel(exchange)) fields.push('Connection', 'Upgrade', 'Upgrade', 'websocket')
  const hop = group.site.isPanel ? deps.panelHop() : null
  if (hop !== null) fields.push(PANEL_HOP_FIELD, hop)
  try {
    const path = peer.address.basePath + target.path + target.query
    const upstream = group.request(peer, { method: exchange.method, path, fields })
    // A body is sent once the connection is there; until then nothing is read from the client.
    if (!exchange.hasBody) upstream.end()
    return upstream
  } catch (error) {
    if (error instanceof UpstreamBusyError) fail(passage, 503)
    else if (error instanceof UpstreamForbiddenError) failedAt(passage, peer, deps, true, 502)
    else sendErrorPage(exchange, 400)
    return null
  }
}

/** Calls once the request has a connection, a kept-alive one at once. */
function whenConnected(upstream: ClientRequest, isTls: boolean, connected: () => void): void {
  upstream.once('socket', (socket) => {
    if (upstream.reusedSocket) connected()
    else if (isTls || socket.connecting) socket.once(isTls ? 'secureConnect' : 'connect', connected)
    else connected()
  })
}

/** Sends an upstream's answer on, at the visitor's pace. An answer that breaks off breaks off for the visitor too. */
async function relay(
  { exchange, group }: Passage,
  peer: Peer,
  upstream: ClientRequest,
  response: IncomingMessage,
  onPiece: () => void,
): Promise<void> {
  try {
    onPiece()
    // A coding that we cannot take off would reach the visitor without its label.
    if ((response.headers['transfer-encoding'] ?? 'chunked').toLowerCase() !== 'chunked')
      throw new Error('unknown coding')
    exchange.respond(response.statusCode ?? 502, visitorFields(response.rawHeaders))
    group.succeeded(peer)
    for await (const piece of response) {
      onPiece()
      if (!(await exchange.write(piece as Buffer))) return void upstream.destroy()
      onPiece()
    }
    if (response.complete) return exchange.end()
    group.failed(peer)
    exchange.abort()
  } catch {
    upstream.destroy()
    if (exchange.isClosed) return
    group.failed(peer)
    if (exchange.isAnswered) exchange.abort()
    else sendSitePage(exchange, 502, group.options.errorPages)
  }
}

function failedAt(passage: Passage, peer: Peer, deps: ProxyDeps, mayRepeat: boolean, status: 502 | 504): void {
  passage.group.failed(peer)
  passage.tried.push(peer)
  if (passage.exchange.isClosed) return
  if (mayRepeat) tryNext(passage, deps, status)
  else fail(passage, status)
}

function fail({ exchange, group }: Passage, status: 502 | 503 | 504): void {
  if (!exchange.isClosed) sendSitePage(exchange, status, group.options.errorPages)
}

function isRepeatable(exchange: Exchange): boolean {
  return REPEATABLE.has(exchange.method) && !exchange.hasBody && exchange.upgrade === null && !exchange.isClosed
}
