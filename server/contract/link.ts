import type { RecordKind, ServingRecord } from './records.ts'

/**
 * The link between control plane and edge: frames of `frames.ts` over a Unix socket. An edge opens
 * two connections: `records` for the feed, `blobs` for content, so that a large upload never delays a challenge.
 */

/** Raised when a message changes meaning; both sides refuse another one. */
export const LINK_PROTOCOL = 1

/** How long an edge counts as live after its last word. */
export const LEASE_MS = 10_000

/** How often an edge renews its lease. */
export const LEASE_RENEWAL_MS = 3_000

/** Most exceptions that one ack may carry. */
export const MAX_EXCEPTIONS = 1_000

/** A record at or below the acked revision that the edge does not serve (yet). */
export type LinkException = {
  readonly kind: RecordKind
  readonly key: string
  readonly revision: number
  /** `pending`: waits for a blob, what was served before goes on. `refused`: cannot be used. */
  readonly state: 'pending' | 'refused'
  readonly reason: string | null
}

/** First frame of an edge. */
export type HelloMessage = {
  readonly type: 'hello'
  readonly protocol: number
  readonly channel: 'records' | 'blobs'
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
  readonly revision: number
  /** All that hold at this moment, not only the new ones. */
  readonly exceptions: readonly LinkException[]
  readonly workers: number
  readonly runtime: string
  readonly version: string
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

/** What an edge sends. */
export type EdgeMessage = HelloMessage | AckMessage | BlobRequestMessage

/** What the control plane sends. */
export type ControlMessage = WelcomeMessage | RecordsMessage | SnapshotEndMessage | RefusalMessage | BlobHeadMessage
