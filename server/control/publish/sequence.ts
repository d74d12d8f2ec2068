import { faultPoint } from '../../process/fault-point.ts'
import type { Logger } from '../../process/log.ts'
import { type Db, hint, isWriteConflict, type Tx } from '../db.ts'
import type { Hints } from '../jobs/hints.ts'
import { type Loop, startLoop } from '../jobs/loop.ts'
import { compileRecord, distinctKeys, planChanges, pointedAt, ticketEpochAt, ticketKeys } from './compile.ts'
import { loadPresent, loadSources, mark, pruneDeletes, saveChanges, takeMarks, tryLockSequencer } from './store.ts'

/** Marks that one transaction takes, besides those of the same writers. */
const BATCH_MARKS = 500
/** Longest time between passes, for hints that were lost. */
const INTERVAL_MS = 2_000
/** Wait while another replica's sequencer is at work. */
const BUSY_MS = 100
/** How often deletes that every edge has passed are forgotten. */
const PRUNE_INTERVAL_MS = 60_000
/** A batch with a large transaction in it takes long. */
const TIMEOUT_MS = 120_000

/** What a batch did. `busy`: another sequencer holds the lock, or has just taken the same marks. */
export type BatchResult =
  | { readonly state: 'busy' }
  | { readonly state: 'done'; readonly marks: number; readonly published: number }

/**
 * Publishes one batch: takes marks that have committed, compiles their records from the rows as of
 * one moment, and gives those that changed the next revisions. One transaction, so that a crash
 * leaves the marks; one sequencer at a time, so that revisions have no gap for a reader.
 */
export async function publishBatch(db: Db, nowMs: number): Promise<BatchResult> {
  try {
    return await db.$transaction((tx) => publishIn(tx, nowMs), {
      isolationLevel: 'RepeatableRead',
      timeout: TIMEOUT_MS,
      maxWait: 10_000,
    })
  } catch (error) {
    // The snapshot is taken before the lock: a predecessor that committed in between shows as a conflict.
    if (isWriteConflict(error)) return { state: 'busy' }
    throw error
  }
}

async function publishIn(tx: Tx, nowMs: number): Promise<BatchResult> {
  if (!(await tryLockSequencer(tx))) return { state: 'busy' }
  const marks = await takeMarks(tx, BATCH_MARKS)
  if (marks.length === 0) return { state: 'done', marks: 0, published: 0 }
  const epoch = ticketEpochAt(nowMs)
  const marked = distinctKeys(marks)
  const pointing = marked.filter(({ kind }) => kind === 'name' || kind === 'address')
  const keys = distinctKeys([...marked, ...pointedAt(await loadSources(tx, pointing, epoch))])
  const sources = await loadSources(tx, keys, epoch)
  const wanted = keys.map((key) => ({ ...key, payload: compileRecord(key, sources) }))
  const changes = planChanges(wanted, await loadPresent(tx, keys))
  if (changes.length > 0) {
    await saveChanges(tx, changes)
    await hint(tx, 'published')
  }
  faultPoint('publish.compiled')
  return { state: 'done', marks: marks.length, published: changes.length }
}

/** What the sequencer needs. */
export type SequencerOptions = { readonly db: Db; readonly hints: Hints; readonly log: Logger }

/**
 * Starts the sequencer of this replica: publishes what was marked, the ticket key when its epoch
 * changes, and forgets old deletes. Several may run; they take turns.
 */
export function startSequencer({ db, hints, log }: SequencerOptions): Loop {
  const markEpoch = ticketEpochMarker(db)
  let prunedAtMs = Number.NEGATIVE_INFINITY

  const pass = async (signal: AbortSignal): Promise<number | null> => {
    await markEpoch(Date.now())
    while (!signal.aborted) {
      const result = await publishBatch(db, Date.now())
      if (result.state === 'busy') return BUSY_MS
      if (result.marks === 0) break
      log.debug(result, 'published')
    }
    if (performance.now() - prunedAtMs > PRUNE_INTERVAL_MS) {
      const pruned = await prune(db)
      if (pruned > 0) log.debug({ pruned }, 'forgot deletes that every edge has passed')
      prunedAtMs = performance.now()
    }
    return null
  }
  return startLoop({ name: 'publish', topic: 'feed', hints, log, intervalMs: INTERVAL_MS, pass })
}

/** Forgets deletes that every edge has passed, between batches. Returns how many; 0 when a sequencer is at work. */
export async function prune(db: Db): Promise<number> {
  return db.$transaction(async (tx) => ((await tryLockSequencer(tx)) ? await pruneDeletes(tx) : 0))
}

/** Marks the ticket keys once per epoch of this process; a mark too many changes nothing. */
function ticketEpochMarker(db: Db): (nowMs: number) => Promise<void> {
  let marked: number | null = null
  return async (nowMs) => {
    const epoch = ticketEpochAt(nowMs)
    if (epoch === marked) return
    await db.$transaction(async (tx) => {
      for (const key of ticketKeys) await mark(tx, { kind: 'ticket-key', key })
    })
    marked = epoch
  }
}
