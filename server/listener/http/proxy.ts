import type { ClientRequest, IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { PANEL_HOP_FIELD } from '../../contract/panel-hop.ts'
import type { SiteRecord } from '../../contract/records.ts'
import type { Deadlines } from '../deadlines.ts'
import type { PanelHop } from '../panel-hop.ts'
import { sendErrorPage } from './error-pages.ts'
import type { Exchange } from './exchange.ts'
import { type Framing, upstreamFields, visitorFields } from './forwarded-fields.ts'
import { CONNECT_MS, FIRST_BYTE_MS, UPSTREAM_GAP_MS } from './limits.ts'
import { forwardBody, framingOf } from './request-body.ts'
import type { Target } from './target.ts'
import { acceptTunnel, wantsTunnel } from './tunnel.ts'
import {
  chooseUpstream,
  parseUpstream,
  type UpstreamAddress,
  UpstreamForbiddenError,
  type UpstreamSite,
  type Upstreams,
} from './upstream.ts'

/** What proxying needs. */
export type ProxyDeps = {
  readonly upstreams: Upstreams
  readonly deadlines: Deadlines
  readonly panelHop: PanelHop
}

/** One request on its way: what it is, and to whom it goes. */
type Passage = {
  readonly exchange: Exchange
  readonly site: UpstreamSite
  readonly address: UpstreamAddress
  readonly authority: string
  readonly target: Target
  readonly framing: Framing
}

/** Methods that may be sent twice when a kept-alive upstream connection turns out to be gone (RFC 9110 section 9.2.2). */
const REPEATABLE = new Set(['GET', 'HEAD', 'OPTIONS'])

/** Answers from one of the site's upstreams; 502 or 504 where none can be had. */
export function serveProxy(
  exchange: Exchange,
  deps: ProxyDeps,
  siteId: string,
  record: SiteRecord,
  request: { readonly authority: string; readonly target: Target },
): void {
  const address = parseUpstream(chooseUpstream(record.upstreams, Math.random())?.url ?? '')
  if (address === null) return void sendErrorPage(exchange, 502)
  const framing = framingOf(exchange)
  if (typeof framing === 'number') return void sendErrorPage(exchange, framing)
  const site = { id: siteId, isPanel: record.isPanel }
  pass({ exchange, site, address, framing, ...request }, deps, true)
}

function pass(passage: Passage, deps: ProxyDeps, mayRepeat: boolean): void {
  const { exchange } = passage
  const upstream = begin(passage, deps)
  if (upstream === null) return
  let state: 'connecting' | 'waiting' | 'answering' | 'over' = 'connecting'
  let answer: IncomingMessage | null = null
  const deadline = deps.deadlines.arm(CONNECT_MS, () => {
    if (state === 'answering') exchange.abort()
    else sendErrorPage(exchange, 504)
    state = 'over'
    upstream.destroy()
  })
  const wait = (): void => {
    if (state === 'waiting') deadline.rearm(FIRST_BYTE_MS)
  }
  const giveUp = (): void => {
    // An answer that has begun fails where it is read.
    if (state === 'answering' || state === 'over') return
    state = 'over'
    deadline.clear()
    if (mayRepeat && upstream.reusedSocket && isRepeatable(exchange)) pass(passage, deps, false)
    else fail(exchange)
  }
  whenConnected(upstream, passage.address.isTls, () => {
    if (state !== 'connecting' || exchange.isClosed) return
    state = 'waiting'
    wait()
    if (exchange.hasBody) forwardBody(exchange, upstream, passage.framing, deps.deadlines, wait)
  })
  upstream.on('response', (response) => {
    if (state === 'over') return
    state = 'answering'
    answer = response
    void relay(exchange, upstream, response, () => deadline.rearm(UPSTREAM_GAP_MS))
  })
  upstream.on('upgrade', (response, socket, head) => {
    state = 'over'
    deadline.clear()
    if (acceptTunnel(exchange, response, socket as Socket, head, deps.deadlines)) return
    socket.destroy()
    sendErrorPage(exchange, 502)
  })
  upstream.on('error', giveUp)
  upstream.on('close', giveUp)
  exchange.onClose(() => {
    state = 'over'
    deadline.clear()
    if (!upstream.writableFinished || answer?.complete !== true) upstream.destroy()
  })
}

function begin(passage: Passage, deps: ProxyDeps): ClientRequest | null {
  const { exchange, site, address, authority, target, framing } = passage
  const fields = upstreamFields(exchange, authority, framing)
  if (wantsTunnel(exchange)) fields.push('Connection', 'Upgrade', 'Upgrade', 'websocket')
  const hop = site.isPanel ? deps.panelHop() : null
  if (hop !== null) fields.push(PANEL_HOP_FIELD, hop)
  try {
    const path = address.basePath + target.path + target.query
    const upstream = deps.upstreams.request(site, address, { method: exchange.method, path, fields })
    // A body is sent once the connection is there; until then nothing is read from the client.
    if (!exchange.hasBody) upstream.end()
    return upstream
  } catch (error) {
    sendErrorPage(exchange, error instanceof UpstreamForbiddenError ? 502 : 400)
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
  exchange: Exchange,
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
    for await (const piece of response) {
      onPiece()
      if (!(await exchange.write(piece as Buffer))) return void upstream.destroy()
      onPiece()
    }
    if (response.complete) exchange.end()
    else exchange.abort()
  } catch {
    upstream.destroy()
    fail(exchange)
  }
}

function fail(exchange: Exchange): void {
  if (exchange.isClosed) return
  if (exchange.isAnswered) exchange.abort()
  else sendErrorPage(exchange, 502)
}

function isRepeatable(exchange: Exchange): boolean {
  return REPEATABLE.has(exchange.method) && !exchange.hasBody && exchange.upgrade === null && !exchange.isClosed
}
