import type { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import type { Reach } from '../../contract/reach.ts'
import type { RecordKind, SiteRecord } from '../../contract/records.ts'
import type { Deadlines } from '../deadlines.ts'
import type { EdgeReader } from '../edge-store.ts'
import type { PanelHop } from '../panel-hop.ts'
import { createBasicAuthGate } from './basic-auth.ts'
import { type BlobFault, createBlobFaults } from './blob-faults.ts'
import type { Connection } from './connection.ts'
import { createContent } from './content.ts'
import { dispatch } from './dispatch.ts'
import type { Exchange } from './exchange.ts'
import { createFastBodies } from './fast-body.ts'
import { type FastConnectionDeps, serveFast } from './fast-connection.ts'
import { createFastSites } from './fast-sites.ts'
import { createHttp1 } from './h1.ts'
import { createHttp2 } from './h2.ts'
import { createHotStreams } from './h2-hot.ts'
import { createHeldSet } from './held.ts'
import { createManifestCache } from './manifest-cache.ts'
import { createRecordCache } from './record-cache.ts'
import type { RequestLog } from './request-log.ts'
import { type SpliceConnectionDeps, serveSpliced } from './splice-connection.ts'
import { createUpstreams } from './upstream.ts'

export type { Connection }

/** What the HTTP side of a worker needs. */
export type HttpDeps = {
  readonly reader: Pick<EdgeReader, 'get'>
  /** Blobs by digest: `<blobsFolder>/<first two hex>/<digest>`. */
  readonly blobsFolder: string
  readonly reach: Reach
  /** Whether this listener itself answers there: no upstream may be it. */
  readonly isOwnAddress?: (address: string, port: number) => boolean
  readonly deadlines: Deadlines
  /** Port that redirects from port 80 lead to; 443 when left out. */
  readonly httpsPort?: number
  /** What the panel's upstream is shown; without it nothing. */
  readonly panelHop?: PanelHop
  /** Told of every request that is over; nobody when left out. */
  readonly log?: RequestLog
  /** Told of blobs that are not on disk as they should be, not of each request for one. */
  readonly onBlobFault?: BlobFault
  /** Told of failures that are ours (a missing blob, a bug), for the log. */
  readonly report?: (error: unknown) => void
}

/** The HTTP side of a worker. None of its calls throws for what a client does. */
export type HttpServers = {
  /** Takes over an established TLS socket; its deadlines, errors and end are looked after here from now on. */
  accept(socket: TLSSocket, protocol: 'h2' | 'http/1.1', connection: Connection): void
  /** Takes over a socket of the plain port. */
  acceptPlain(socket: Socket, connection: Connection): void
  /** Drops what is cached for these records, negative answers included, before it returns. */
  invalidate(keys: readonly { kind: RecordKind; key: string }[]): void
  /** Ends idle connections and lets busy ones finish what they began. Upgraded ones stay. */
  drain(): void
  readonly openConnections: number
}

/** Makes the HTTP servers of one worker. They never listen: sockets are handed to them. */
export function createHttpServers(deps: HttpDeps): HttpServers {
  const { blobsFolder, deadlines } = deps
  const open = createHeldSet()
  const onFault = createBlobFaults(deps.onBlobFault ?? (() => {}))
  const log = deps.log ?? (() => {})
  const records = createRecordCache(deps.reader)
  const upstreams = createUpstreams({ reach: deps.reach, deadlines, isOwn: deps.isOwnAddress ?? (() => false) })
  const dispatchDeps = {
    records,
    upstreams,
    deadlines,
    panelHop: deps.panelHop ?? (() => null),
    store: { content: createContent(blobsFolder, onFault), manifests: createManifestCache(blobsFolder, onFault) },
    basicAuth: createBasicAuthGate(),
    httpsPort: deps.httpsPort ?? 443,
    report: deps.report ?? (() => {}),
  }
  const exchange = (one: Exchange): void => void dispatch(one, dispatchDeps)
  const fastSites = createFastSites(dispatchDeps)
  const hot = createHotStreams({ sites: fastSites, deadlines, log })
  const http1 = createHttp1({ exchange, deadlines, open, log })
  const http2 = createHttp2({ exchange, deadlines, open, log, hot })
  // Null also where the record cannot be read: the full path meets the failure again, answers 500 and tells of it.
  const kindOf = (siteId: string | null): SiteRecord['kind'] | null => {
    try {
      return siteId === null ? null : (records.get('site', siteId)?.kind ?? null)
    } catch (error) {
      dispatchDeps.report(error)
      return null
    }
  }
  const fastDeps: FastConnectionDeps = {
    sites: fastSites,
    bodies: createFastBodies(dispatchDeps.store.content, deadlines),
    deadlines,
    open,
    log,
    handOver: (socket, connection) =>
      http1.accept(socket, connection, { mayUpgrade: kindOf(connection.siteId) === 'proxy' }),
  }
  const spliceDeps: SpliceConnectionDeps = {
    records,
    upstreams,
    deadlines,
    open,
    log,
    handOver(socket, connection, bytes) {
      http1.accept(socket, connection, { mayUpgrade: true })
      socket.emit('data', bytes)
    },
  }
  return {
    accept(socket, protocol, connection) {
      if (protocol === 'h2') return http2.accept(socket, connection)
      const kind = kindOf(connection.siteId)
      if (kind === 'static') serveFast(socket, connection, fastDeps)
      else if (kind === 'proxy') serveSpliced(socket, connection, spliceDeps)
      else http1.accept(socket, connection, { mayUpgrade: false })
    },
    acceptPlain: (socket, connection) => http1.accept(socket, connection, { mayUpgrade: false }),
    invalidate(keys) {
      records.drop(keys)
      fastSites.drop(keys)
      for (const { kind, key } of keys) if (kind === 'site') upstreams.drop(key)
    },
    drain: () => open.drain(),
    get openConnections() {
      return open.size
    },
  }
}
