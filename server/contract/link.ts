import { isUuid } from './ids.ts'
import { type RecordKind, recordKinds, type ServingRecord } from './records.ts'
import { isTrafficRow, type TrafficRow } from './traffic.ts'

/**
 * The link between control plane and edge: frames of `frames.ts` over a Unix socket. An edge opens
 * four connections: `records` for the feed, `blobs` for content, `reports` for what it has counted, `tail` for the
 * lines of logs that somebody follows, so that neither a large upload nor a day's counters delay a challenge. A
 * control plane that does not know a channel refuses it; the edge goes on without.
 */

/** Raised when a message changes meaning; both sides refuse another one. */
export const LINK_PROTOCOL = 1

/** How long an edge counts as live after its last word. */
export const LEASE_MS = 10_000

/** How often an edge renews its lease. */
export const LEASE_RENEWAL_MS = 3_000

/** Most exceptions that one ack may carry. */
export const MAX_EXCEPTIONS = 1_000

/** Key of an exception that stands for all others of its kind, where they are too many to be listed. */
export const ANY_KEY = '*'

/** How long either side waits for the other's first frame. */
export const GREETING_MS = 5_000

/** Largest blob that an edge takes. */
export const MAX_BLOB_BYTES = 1024 * 1024 * 1024

/** Most sites whose access logs are followed at one time. */
export const MAX_FOLLOWED_SITES = 100

/** Most lines of one message of the tail channel; an edge that has more tells how many it left out. */
export const MAX_TAIL_LINES = 500

/** Most characters of all its lines together: well below the largest frame, whatever visitors send. */
export const MAX_TAIL_CHARS = 256 * 1024

/** A record at or below the acked revision that the edge does not serve (yet). */
export type LinkException = {
  readonly kind: RecordKind
  readonly key: string
  readonly revision: number
  /** `pending`: waits for a blob, what was served before goes on. `refused`: cannot be used. */
  readonly state: 'pending' | 'refused'
  readonly reason: string | null
}

const channels = ['records', 'blobs', 'reports', 'tail'] as const

/** First frame of an edge. */
export type HelloMessage = {
  readonly type: 'hello'
  readonly protocol: number
  readonly channel: (typeof channels)[number]
  readonly edgeId: string
  readonly name: string
  /** X25519, base64. */
  readonly publicKey: string
  /** What the edge holds; null when it holds nothing. */
  readonly feedId: string | null
  readonly revision: number
}

/** Sent after each applied batch, and at least every `LEASE_RENEWAL_MS`: it renews the lease. */
export type AckMessage = {
  readonly type: 'ack'
  /** Up to here everything is on disk and no worker holds anything older, but for the exceptions. */
  readonly revision: number
  /** All that hold at this moment, not only the new ones. */
  readonly exceptions: readonly LinkException[]
  readonly workers: number
  readonly runtime: string
  readonly version: string
  /** Where this edge answers HTTPS: not 443 where that was not permitted. */
  readonly httpsPort: number
}

/** Answer to a hello. `snapshot`: everything follows, and what was not sent by `snapshot-end` is swept. */
export type WelcomeMessage = {
  readonly type: 'welcome'
  readonly protocol: number
  readonly feedId: string
  readonly mode: 'resume' | 'snapshot'
  /** The feed's newest revision now. */
  readonly head: number
}

/** A batch in the order of revisions; after it the edge holds everything up to `revision`. */
export type RecordsMessage = {
  readonly type: 'records'
  readonly records: readonly ServingRecord[]
  readonly revision: number
}

/** The snapshot is complete. */
export type SnapshotEndMessage = { readonly type: 'snapshot-end'; readonly revision: number }

/** The other side will hear no more; what is wrong and what to do. */
export type RefusalMessage = { readonly type: 'refusal'; readonly detail: string }

/** Blob channel: asks for one blob by digest. One at a time. */
export type BlobRequestMessage = { readonly type: 'blob'; readonly digest: string }

/** Blob channel: head of an answer; `bytes` raw bytes follow the frame. Null: there is no such blob. */
export type BlobHeadMessage = { readonly type: 'blob-head'; readonly digest: string; readonly bytes: number | null }

/** Report channel: a batch of counters. One at a time; it is sent again, as it was, until it is confirmed. */
export type TrafficMessage = {
  readonly type: 'traffic'
  /** Of the edge's spool: sequences of another one have nothing to do with it. */
  readonly spoolId: string
  /** Greater than that of every batch that was sent before. */
  readonly sequence: number
  readonly rows: readonly TrafficRow[]
}

/** Report channel: the batch is part of the counters for good, now or since before. */
export type TrafficAckMessage = { readonly type: 'traffic-ack'; readonly sequence: number }

/** Tail channel, to the edge: the sites whose access logs are followed from now on; all of them, each time. */
export type FollowMessage = { readonly type: 'follow'; readonly siteIds: readonly string[] }

/** Tail channel, to the control plane: what was written into the access log of a site that is followed. */
export type TailMessage = {
  readonly type: 'lines'
  readonly siteId: string
  readonly lines: readonly string[]
  /** Lines that were too many to be sent. */
  readonly leftOut: number
}

/** What the control plane sends. */
export type ControlMessage =
  | WelcomeMessage
  | RecordsMessage
  | SnapshotEndMessage
  | RefusalMessage
  | BlobHeadMessage
  | TrafficAckMessage
  | FollowMessage

const MAX_TEXT = 1_000

/** Says why a first frame is no hello that can be answered, or null when it is. */
export function helloProblem(message: unknown): string | null {
  const hello = fields(message)
  if (hello?.type !== 'hello') return 'the first frame is no hello'
  if (hello.protocol !== LINK_PROTOCOL)
    return `this control plane speaks protocol ${LINK_PROTOCOL}: run the same version on both sides`
  if (!(channels as readonly unknown[]).includes(hello.channel)) return 'unknown channel'
  if (!isUuid(hello.edgeId)) return 'the edge has no id'
  if (!isText(hello.name) || !isText(hello.publicKey)) return 'the edge has no name or key'
  if (Buffer.from(hello.publicKey, 'base64').length !== 32) return 'the key of the edge is not 32 bytes'
  if (hello.feedId !== null && !isUuid(hello.feedId)) return 'the feed id is no id'
  return isCount(hello.revision) ? null : 'the revision is no number'
}

/** Says why a frame is no ack, or null when it is one. */
export function ackProblem(message: unknown): string | null {
  const ack = fields(message)
  if (ack?.type !== 'ack') return 'not an ack'
  if (!isCount(ack.revision) || !isCount(ack.workers)) return 'an ack without revision or workers'
  if (!isCount(ack.httpsPort) || ack.httpsPort > 65_535) return 'an ack without a port'
  if (!isText(ack.runtime) || !isText(ack.version)) return 'an ack without runtime or version'
  if (!Array.isArray(ack.exceptions) || ack.exceptions.length > MAX_EXCEPTIONS) return 'an ack with too many exceptions'
  return ack.exceptions.every(isException) ? null : 'an exception that is none'
}

/** Says why a frame is no batch of counters, or null when it is one. */
export function trafficProblem(message: unknown): string | null {
  const traffic = fields(message)
  if (traffic?.type !== 'traffic') return 'not a batch of counters'
  if (!isUuid(traffic.spoolId) || !isCount(traffic.sequence)) return 'counters without spool or sequence'
  return Array.isArray(traffic.rows) && traffic.rows.every(isTrafficRow) ? null : 'counters that are none'
}

/** Says why a frame brings no lines of a log, or null when it does. */
export function tailProblem(message: unknown): string | null {
  const tail = fields(message)
  if (tail?.type !== 'lines') return 'no lines of a log'
  if (!isUuid(tail.siteId) || !isCount(tail.leftOut)) return 'lines without their site'
  const isList = Array.isArray(tail.lines) && tail.lines.length <= MAX_TAIL_LINES
  return isList && (tail.lines as unknown[]).every(isLine) ? null : 'lines that are none'
}

/** Says why a frame is no list of sites to follow, or null when it is one. */
export function followProblem(message: unknown): string | null {
  const follow = fields(message)
  if (follow?.type !== 'follow' || !Array.isArray(follow.siteIds)) return 'no list of sites'
  if (follow.siteIds.length > MAX_FOLLOWED_SITES) return 'too many sites to follow'
  return follow.siteIds.every(isUuid) ? null : 'a site without an id'
}

function isLine(value: unknown): boolean {
  return typeof value === 'string' && value.length <= MAX_TAIL_CHARS && !/[\r\n]/.test(value)
}

function isException(value: unknown): boolean {
  const exception = fields(value)
  if (exception === null || !(recordKinds as readonly unknown[]).includes(exception.kind)) return false
  const isKnown = exception.state === 'pending' || exception.state === 'refused'
  const hasReason = exception.reason === null || isText(exception.reason)
  return isText(exception.key) && isCount(exception.revision) && isKnown && hasReason
}

function fields(value: unknown): Record<string, unknown> | null {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : null
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value.length <= MAX_TEXT
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}
