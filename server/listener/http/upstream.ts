import { lookup as resolve } from 'node:dns'
import http, { type ClientRequest } from 'node:http'
import https from 'node:https'
import { isIP, type LookupFunction } from 'node:net'
import { type Reach, unmapped } from '../../contract/reach.ts'
import type { Upstream } from '../../contract/records.ts'
import { MAX_UPSTREAM_HEAD_BYTES, MAX_UPSTREAM_SOCKETS, UPSTREAM_IDLE_MS } from './limits.ts'

/** An upstream's URL in parts: `host` without brackets, `basePath` without its last slash. */
export type UpstreamAddress = {
  readonly isTls: boolean
  readonly host: string
  readonly port: number
  readonly basePath: string
}

/** This upstream must not be dialled, or its URL cannot be used. */
export class UpstreamForbiddenError extends Error {
  override name = 'UpstreamForbiddenError'
}

/** Connections to upstreams, kept alive for each site by itself: one socket never serves two sites. */
export type Upstreams = {
  /** Begins a request. Throws `UpstreamForbiddenError`; a name that resolves to nothing allowed is an 'error' of the request. */
  request(site: UpstreamSite, address: UpstreamAddress, head: UpstreamHead): ClientRequest
  /** Ends the idle connections of a site whose record changed, and re-uses none of the busy ones. */
  drop(siteId: string): void
}

/** For whom we dial. The panel's upstream is on this machine. */
export type UpstreamSite = { readonly id: string; readonly isPanel: boolean }

/** `fields`: name, value, name, value. */
export type UpstreamHead = { readonly method: string; readonly path: string; readonly fields: readonly string[] }

type Agents = { readonly http: http.Agent; readonly https: https.Agent }

/** Beyond this many sites, those without a connection are forgotten. */
const SWEEP_SITES = 1_000

/** Reads an upstream's URL; null for what is neither http nor https. */
export function parseUpstream(text: string): UpstreamAddress | null {
  const url = URL.parse(text)
  if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:')) return null
  const isTls = url.protocol === 'https:'
  const host = url.hostname.startsWith('[') ? url.hostname.slice(1, -1) : url.hostname
  const port = url.port === '' ? (isTls ? 443 : 80) : Number(url.port)
  return { isTls, host, port, basePath: url.pathname.replace(/\/+$/, '') }
}

/** One upstream by weight; `point` is in [0, 1). Weights that are not positive count as none, unless all are. */
export function chooseUpstream(upstreams: readonly Upstream[], point: number): Upstream | null {
  const total = upstreams.reduce((sum, upstream) => sum + Math.max(0, upstream.weight), 0)
  if (total === 0) return upstreams[Math.floor(point * upstreams.length)] ?? null
  let rest = point * total
  for (const upstream of upstreams) {
    rest -= Math.max(0, upstream.weight)
    if (rest < 0) return upstream
  }
  return null
}

/** Makes the pools of one worker. `reach` judges the very address that is dialled. */
export function createUpstreams(reach: Reach): Upstreams {
  const agentsOf = new Map<string, Agents>()
  const find = (siteId: string): Agents => {
    const known = agentsOf.get(siteId)
    if (known !== undefined) return known
    if (agentsOf.size >= SWEEP_SITES) sweep(agentsOf)
    const options = {
      keepAlive: true,
      maxSockets: MAX_UPSTREAM_SOCKETS,
      maxFreeSockets: 32,
      timeout: UPSTREAM_IDLE_MS,
    } as const
    const made = { http: new http.Agent(options), https: new https.Agent(options) }
    agentsOf.set(siteId, made)
    return made
  }
  return {
    request(site, address, head) {
      const mayDial = site.isPanel ? (ip: string) => reach(ip) || isLoopback(ip) : reach
      if (isIP(address.host) !== 0 && !mayDial(address.host))
        throw new UpstreamForbiddenError(`${address.host} may not be dialled`)
      const agents = find(site.id)
      const options: http.RequestOptions = {
        host: address.host,
        port: address.port,
        method: head.method,
        path: head.path,
        headers: head.fields,
        maxHeaderSize: MAX_UPSTREAM_HEAD_BYTES,
        lookup: checkedLookup(mayDial),
      }
      if (!address.isTls) return http.request({ ...options, agent: agents.http })
      // Verified against the name in the upstream's URL, not against the visitor's Host.
      const servername = isIP(address.host) === 0 ? address.host : ''
      return https.request({ ...options, agent: agents.https, servername })
    },
    drop(siteId) {
      const agents = agentsOf.get(siteId)
      agentsOf.delete(siteId)
      if (agents === undefined) return
      for (const agent of [agents.http, agents.https]) {
        agent.maxFreeSockets = 0
        for (const socket of Object.values(agent.freeSockets).flat()) socket?.destroy()
      }
    },
  }
}

/** Resolves a name and gives out only the addresses that may be dialled, so what is checked is what is dialled. */
function checkedLookup(mayDial: Reach): LookupFunction {
  return (hostname, options, callback) => {
    resolve(hostname, { family: options.family ?? 0, all: true }, (error, addresses) => {
      if (error !== null) return callback(error, '', 0)
      const allowed = addresses.filter(({ address }) => mayDial(address))
      const first = allowed[0]
      if (first === undefined) return callback(new UpstreamForbiddenError(`${hostname} may not be dialled`), '', 0)
      if (options.all === true) return callback(null, allowed)
      callback(null, first.address, first.family)
    })
  }
}

function isLoopback(address: string): boolean {
  const plain = unmapped(address)
  return plain === '::1' || (isIP(plain) === 4 && plain.startsWith('127.'))
}

function sweep(agentsOf: Map<string, Agents>): void {
  for (const [siteId, agents] of agentsOf) {
    const isQuiet = [agents.http, agents.https].every(
      ({ sockets, freeSockets, requests }) =>
        Object.keys(sockets).length + Object.keys(freeSockets).length + Object.keys(requests).length === 0,
    )
    if (isQuiet) agentsOf.delete(siteId)
  }
}
