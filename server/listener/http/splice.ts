import type { Socket } from 'node:net'
import type { SiteRecord } from '../../contract/records.ts'
import type { Deadlines } from '../deadlines.ts'
import type { Connection } from './connection.ts'
import { createPassages, type SpliceOutcome } from './splice-passage.ts'
import { createFieldWriter, type SpliceRequest } from './splice-request.ts'
import type { Upstreams } from './upstream.ts'

/** What the byte path needs. */
export type SpliceDeps = { readonly upstreams: Upstreams; readonly deadlines: Deadlines }

/** The byte path of one visitor's connection: one request at a time. */
export type Splicer = {
  /**
   * Answers a request from the site's upstreams, by passing bytes on. False, and nothing has happened: another
   * path must answer. `done` is called once, when the last byte was taken by the connection or it is gone, be it
   * within this call.
   */
  take(request: SpliceRequest, siteId: string, record: SiteRecord, done: (outcome: SpliceOutcome) => void): boolean
}

/** Makes it. It listens to the visitor's `close` and `drain`; reading the connection stays with the caller. */
export function createSplicer(visitor: Socket, connection: Connection, deps: SpliceDeps): Splicer {
  const fieldsOf = createFieldWriter(connection)
  const passages = createPassages(visitor, deps.deadlines)
  visitor.on('close', () => passages.visitorGone())
  visitor.on('drain', () => passages.visitorDrained())
  return {
    take(request, siteId, record, done) {
      const group = deps.upstreams.of(siteId, record)
      if (passages.isBusy || !group.isSpliceable || !group.sockets.hasRoom) return false
      const fields = fieldsOf(request)
      if (fields === null) return false
      passages.begin({ request, fields, group, done })
      return true
    },
  }
}
