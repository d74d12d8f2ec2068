import http from 'node:http'
import https from 'node:https'
import { isIP } from 'node:net'
import type { ProxyOptions } from '../../contract/site-options.ts'
import { MAX_IDLE_UPSTREAM_SOCKETS, MAX_UPSTREAM_SOCKETS, UPSTREAM_IDLE_MS } from './limits.ts'
import type { UpstreamAddress } from './upstream-address.ts'

/** The kept-alive connections of one site's `http.request`s. */
export type UpstreamAgents = {
  readonly http: http.Agent
  readonly https: https.Agent
  /** Nothing is open and nobody waits. */
  readonly isQuiet: boolean
  /** Ends idle connections, and keeps none of the busy ones. */
  close(): void
}

/** Makes them; agents are never shared between sites. */
export function createUpstreamAgents(): UpstreamAgents {
  const options = {
    keepAlive: true,
    maxSockets: MAX_UPSTREAM_SOCKETS,
    // The other one counts for each upstream alone.
    maxTotalSockets: MAX_UPSTREAM_SOCKETS,
    maxFreeSockets: MAX_IDLE_UPSTREAM_SOCKETS,
    timeout: UPSTREAM_IDLE_MS,
  } as const
  const both = { http: new http.Agent(options), https: new https.Agent(options) }
  const agents = [both.http, both.https]
  return {
    ...both,
    get isQuiet() {
      return agents.every(
        ({ sockets, freeSockets, requests }) =>
          Object.keys(sockets).length + Object.keys(freeSockets).length + Object.keys(requests).length === 0,
      )
    },
    close() {
      for (const agent of agents) {
        agent.maxFreeSockets = 0
        for (const socket of Object.values(agent.freeSockets).flat()) socket?.destroy()
      }
    },
  }
}

/** How TLS to an upstream is set up. A trust root of a site's own stands in place of the system's. */
export type UpstreamTls = {
  readonly servername: string
  readonly rejectUnauthorized: boolean
  readonly ca?: string
}

/** Verified against the name in the upstream's URL or the one that the site sets, never against the visitor's Host. */
export function upstreamTls(address: UpstreamAddress, options: ProxyOptions): UpstreamTls {
  const servername = options.tlsServerName ?? (isIP(address.host) === 0 ? address.host : '')
  const { caPem, verifyTls } = options
  return { servername, rejectUnauthorized: verifyTls, ...(caPem === null ? {} : { ca: caPem }) }
}
