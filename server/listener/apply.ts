import { isDeepStrictEqual } from 'node:util'
import { ANY_KEY, type LinkException, MAX_EXCEPTIONS, type RecordsMessage } from '../contract/link.ts'
import { type Payloads, type RecordKind, recordProblem, type ServingRecord } from '../contract/records.ts'
import { type SealKeyPair, UnsealError, unsealFrom } from '../contract/sealing.ts'
import { faultPoint } from '../process/fault-point.ts'
import type { EdgeStore, Refusal } from './edge-store.ts'

/** What names a record. */
export type RecordKey = { readonly kind: RecordKind; readonly key: string }

/** The workers, as far as records concern them. */
export type ApplyPool = {
  /** Resolves when every worker has dropped what it had cached for these keys, negative answers included. */
  invalidate(keys: readonly RecordKey[]): Promise<void>
}

/** What the edge can confirm at this moment. */
export type Applied = { readonly revision: number; readonly exceptions: readonly LinkException[] }

/** Brings records to the disk and to the workers; one change after the other, whoever asks. */
export type Applier = {
  /** Resolves when the batch is on disk and no worker holds anything older. */
  apply(message: RecordsMessage): Promise<void>
  beginSnapshot(): Promise<void>
  endSnapshot(feedId: string, revision: number): Promise<void>
  /** A parked site's content is here: serves it, unless another record came for it. */
  unpark(record: ServingRecord): Promise<void>
  /** What is confirmed: never ahead of the disk or of a worker. */
  applied(): Applied
  /** Resolves when nothing is under way. */
  idle(): Promise<void>
}

/** What the applier needs. */
export type ApplierOptions = {
  readonly store: EdgeStore
  readonly pool: ApplyPool
  readonly keyPair: SealKeyPair
  /** Why a parked site waits, when that is known. */
  readonly pendingReason: (siteId: string) => string | null
  /** Something may have been parked. */
  readonly onParked: () => void
  /** `applied()` has changed by other means than `apply`. */
  readonly onChange: () => void
}

/** Makes the applier of a store. */
export function createApplier(options: ApplierOptions): Applier {
  const { store, pool } = options
  const drop = dropper(pool)
  let queue: Promise<unknown> = Promise.resolve()
  let revision = store.position().revision

  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const result = queue.then(work)
    queue = result.catch(() => undefined)
    return result
  }
  return {
    applied: () => ({ revision, exceptions: exceptionsOf(store, options.pendingReason) }),
    idle: () => queue.then(() => undefined),
    apply: (message) =>
      inTurn(async () => {
        const { served, parked, refused } = sort(message.records, options)
        const changed = served.filter((record) => !isServed(record, store))
        store.apply(served, message.revision, { parked, refused })
        faultPoint('apply.written')
        await drop(changed)
        revision = message.revision
        if (parked.length > 0) options.onParked()
      }),
    beginSnapshot: () =>
      inTurn(async () => {
        store.beginSnapshot()
        revision = 0
      }),
    endSnapshot: (feedId, head) =>
      inTurn(async () => {
        const gone = store.endSnapshot(feedId, head)
        await drop(gone)
        revision = head
      }),
    unpark: (record) =>
      inTurn(async () => {
        if (!store.unpark(record)) return
        await drop([record])
        options.onChange()
      }),
  }
}

/** Makes the workers drop keys; what could not be dropped is owed and goes with the next ones. */
function dropper(pool: ApplyPool): (keys: readonly RecordKey[]) => Promise<void> {
  const owed = new Map<string, RecordKey>()
  return async (keys) => {
    for (const { kind, key } of keys) owed.set(`${kind} ${key}`, { kind, key })
    if (owed.size === 0) return
    await pool.invalidate([...owed.values()])
    owed.clear()
  }
}

/** Whether a record says what is served already, as most of a snapshot do: then no worker needs to drop anything. */
function isServed({ kind, key, payload }: ServingRecord, store: EdgeStore): boolean {
  return isDeepStrictEqual(withoutSeal(store.get(kind, key)), withoutSeal(payload))
}

/** Sealing gives other bytes each time; fingerprint and epoch say whether the secret is the same. */
function withoutSeal(payload: unknown): unknown {
  return payload === null ? null : { ...(payload as object), sealedKey: '', sealedSecret: '' }
}

type Sorted = {
  readonly served: ServingRecord[]
  readonly parked: ServingRecord[]
  readonly refused: Refusal[]
}

/** What can be served at once, what waits for its content, and what this edge cannot use. */
function sort(records: readonly ServingRecord[], { store, keyPair }: ApplierOptions): Sorted {
  const sorted: Sorted = { served: [], parked: [], refused: [] }
  for (const record of records) {
    const { kind, key, revision } = record
    const reason = recordProblem(kind, key, record.payload) ?? sealProblem(record, keyPair)
    if (reason !== null) sorted.refused.push({ kind, key, revision, reason })
    else if (needsContent(record, store)) sorted.parked.push(record)
    else sorted.served.push(record)
  }
  return sorted
}

/** A site whose content is the one that it serves already needs nothing new. */
function needsContent({ kind, key, payload }: ServingRecord, store: EdgeStore): boolean {
  if (kind !== 'site' || payload === null) return false
  const { manifest } = payload as Payloads['site']
  return manifest !== null && store.get('site', key)?.manifest !== manifest
}

function sealProblem({ kind, key, payload }: ServingRecord, keyPair: SealKeyPair): string | null {
  if (payload === null) return null
  if (kind === 'certificate') return openProblem(keyPair, (payload as Payloads['certificate']).sealedKey, key)
  if (kind === 'ticket-key') return openProblem(keyPair, (payload as Payloads['ticket-key']).sealedSecret, 'ticket-key')
  if (kind === 'challenge' && 'sealedKey' in payload) return openProblem(keyPair, payload.sealedKey, key)
  return null
}

function openProblem(keyPair: SealKeyPair, sealed: string, context: string): string | null {
  try {
    unsealFrom(keyPair, Buffer.from(sealed, 'base64'), context).fill(0)
    return null
  } catch (error) {
    if (error instanceof UnsealError) return 'its key is not sealed to this edge, or damaged'
    throw error
  }
}

/** All exceptions, oldest first; where they are too many, one stands for the rest of its kind. */
/** Asked for with every ack, and while a new edge fills nearly all sites are parked: no more are read than are listed. */
function exceptionsOf(store: EdgeStore, pendingReason: (siteId: string) => string | null): LinkException[] {
  const pending = store.parkedKeys(MAX_EXCEPTIONS + 1).map(
    (item): LinkException => ({
      ...item,
      state: 'pending',
      reason: pendingReason(item.key),
    }),
  )
  const refused = store.refused().map((item): LinkException => ({ ...item, state: 'refused' }))
  const all = [...refused, ...pending]
  if (all.length <= MAX_EXCEPTIONS) return all
  const kinds = new Set(all.map(({ kind }) => kind))
  const listed = all.slice(0, MAX_EXCEPTIONS - kinds.size)
  const unlisted = new Set(all.slice(listed.length).map(({ kind }) => kind))
  const reason = 'more records of this kind than can be listed'
  return [
    ...listed,
    ...[...unlisted].map((kind) => ({ kind, key: ANY_KEY, revision: 0, state: 'pending', reason }) as const),
  ]
}
