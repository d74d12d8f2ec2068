import http, { type ClientRequest } from 'node:http'
import https from 'node:https'
import type { SiteRecord } from '../../contract/records.ts'
import type { HealthCheck, SiteOptions } from '../../contract/site-options.ts'
import type { Deadlines } from '../deadlines.ts'
import { hasDescriptors } from '../descriptors.ts'
import { loopField } from './forwarded-fields.ts'
import { MAX_UPSTREAM_HEAD_BYTES } from './limits.ts'
import { optionsOf } from './site-rules.ts'
import { parseUpstream, type UpstreamAddress } from './upstream-address.ts'
import { createUpstreamAgents, upstreamTls } from './upstream-agents.ts'
import type { createUpstreamChecks } from './upstream-checks.ts'
import { afterCheck, afterChoice, afterFailure, afterSuccess, type Health, healthy, isOpen } from './upstream-health.ts'
import type { UpstreamReach, UpstreamSite } from './upstream-reach.ts'
import { createUpstreamSockets, type UpstreamSockets } from './upstream-sockets.ts'
import { createTurns } from './upstream-turns.ts'

/** One upstream of a site, and what this worker knows of it. Compared by identity. */
export type Peer = { readonly address: UpstreamAddress; health: Health }

/** This worker has no descriptor left for another connection to an upstream: no fault of the upstream's. */
export class UpstreamBusyError extends Error {
  override name = 'UpstreamBusyError'
}

/** `fields`: name, value, name, value. */
export type UpstreamHead = { readonly method: string; readonly path: string; readonly fields: readonly string[] }

/** The upstreams of one site in one worker, as its record has them. */
export type UpstreamGroup = {
  readonly site: UpstreamSite
  readonly options: SiteOptions
  /** Whose turn it is, those left out that were tried for this request; null when nobody is left. */
  choose(tried: readonly Peer[]): Peer | null
  /** It has answered, whatever it said. */
  succeeded(peer: Peer): void
  /** It could not be reached, or gave no answer that is one. */
  failed(peer: Peer): void
  /** Begins a request. Throws `UpstreamForbiddenError` and `UpstreamBusyError`; a name that resolves to nothing allowed is an 'error' of the request. */
  request(peer: Peer, head: UpstreamHead): ClientRequest
  /** Answers go to visitors as they are: the byte path may take requests. */
  readonly isSpliceable: boolean
  /** Raw connections for the byte path, `key` being a peer. */
  readonly sockets: UpstreamSockets
  /** Nothing is open. */
  readonly isQuiet: boolean
  /** Ends idle connections and checks; busy connections end after their request. */
  close(): void
}

/** What a group needs of its worker. */
export type UpstreamGroupDeps = {
  readonly reach: UpstreamReach
  readonly checks: ReturnType<typeof createUpstreamChecks>
  readonly deadlines: Deadlines
}

/** Makes the group of a record. Upstreams whose URL cannot be used are never chosen. */
export function createUpstreamGroup(siteId: string, record: SiteRecord, deps: UpstreamGroupDeps): UpstreamGroup {
  const site: UpstreamSite = { id: siteId, tenantId: record.tenantId, isPanel: record.isPanel }
  const options = optionsOf(record)
  const usable = record.upstreams.flatMap(({ url, weight }) => {
    const address = parseUpstream(url)
    return address === null ? [] : [{ peer: { address, health: healthy } as Peer, weight }]
  })
  const peers = usable.map(({ peer }) => peer)
  const turns = createTurns(usable.map(({ weight }) => weight))
  const agents = createUpstreamAgents()
  const sockets = createUpstreamSockets(site, options.proxy, deps)

  const begin = (peer: Peer, head: UpstreamHead, isKept: boolean): ClientRequest => {
    const { address } = peer
    deps.reach.check(site, address)
    let leave = (): void => undefined
    const common: http.RequestOptions = {
      host: address.host,
      port: address.port,
      method: head.method,
      path: head.path,
      headers: head.fields,
      maxHeaderSize: MAX_UPSTREAM_HEAD_BYTES,
      lookup: deps.reach.lookup(site, address, (leaveQuestion) => {
        leave = leaveQuestion
      }),
    }
    const request = address.isTls
      ? https.request({ ...common, ...upstreamTls(address, options.proxy), agent: isKept && agents.https })
      : http.request({ ...common, agent: isKept && agents.http })
    return request.once('close', () => leave())
  }
  const { health } = options.proxy
  const ask = (peer: Peer, check: HealthCheck, done: (isWell: boolean) => void): void =>
    askHealth((head) => begin(peer, head, false), peer.address, check, deps.deadlines, done)
  const watch =
    health === null
      ? null
      : deps.checks.watch<Peer>({
          check: health,
          peers,
          ask: (peer, done) => ask(peer, health, done),
          tell(peer, isWell) {
            peer.health = afterCheck(peer.health, isWell)
          },
          forget() {
            for (const peer of peers) peer.health = { ...peer.health, failedChecks: 0 }
          },
        })
  return {
    site,
    options,
    choose(tried) {
      watch?.touch()
      const now = performance.now()
      const isLeft = (at: number): boolean => !tried.includes(peers[at] as Peer)
      const mayBeAsked = (at: number): boolean => isOpen((peers[at] as Peer).health, now)
      let at = turns.next((one) => isLeft(one) && mayBeAsked(one))
      // When all are out, all are tried: a wrong guess of ours must not take a site down.
      if (at < 0 && !peers.some((_, one) => mayBeAsked(one))) at = turns.next(isLeft)
      const peer = peers[at]
      if (peer === undefined) return null
      peer.health = afterChoice(peer.health, now)
      return peer
    },
    succeeded(peer) {
      peer.health = afterSuccess(peer.health)
    },
    failed(peer) {
      peer.health = afterFailure(peer.health, performance.now())
    },
    request(peer, head) {
      if (!hasDescriptors('upstream')) throw new UpstreamBusyError('no descriptor is left for upstreams')
      return begin(peer, head, true)
    },
    sockets,
    isSpliceable: !record.isPanel && isPlain(options),
    get isQuiet() {
      return sockets.isQuiet && agents.isQuiet
    },
    close() {
      watch?.close()
      agents.close()
      sockets.close()
    },
  }
}

/** One check, on a connection of its own. */
function askHealth(
  begin: (head: UpstreamHead) => ClientRequest,
  address: UpstreamAddress,
  check: HealthCheck,
  deadlines: Deadlines,
  done: (isWell: boolean) => void,
): void {
  let isOver = false
  let request: ClientRequest | null = null
  const finish = (isWell: boolean): void => {
    if (isOver) return
    isOver = true
    deadline.clear()
    request?.destroy()
    done(isWell)
  }
  const deadline = deadlines.arm(check.timeoutSeconds * 1_000, () => finish(false))
  const name = address.host.includes(':') ? `[${address.host}]` : address.host
  const fields = ['Host', `${name}:${address.port}`, 'User-Agent', 'nameplate-health', 'Accept', '*/*']
  try {
    request = begin({ method: 'GET', path: check.path, fields: [...fields, ...loopField([]), 'Connection', 'close'] })
    request.on('response', (response) => {
      response.on('error', () => undefined)
      response.resume()
      finish((response.statusCode ?? 500) < 400)
    })
    request.on('error', () => finish(false))
    request.on('close', () => finish(false))
    request.end()
  } catch {
    finish(false)
  }
}

/** Nothing is asked of requests, and nothing changed in answers, that the byte path does not do. */
function isPlain(options: SiteOptions): boolean {
  const { headers, redirects, basicAuth, hsts } = options
  return headers.length === 0 && redirects.length === 0 && basicAuth === null && hsts === null
}
