import type { Tx } from '../db.ts'
import { availableAt } from './ledger.ts'
import { type Exhausted, failuresBucket, spendAll, spentByOrder } from './ledger-store.ts'
import type { IssuerLimits } from './limits.ts'
import { enqueue, isBehind, type QueueEntry, queueClass, takeTurn } from './queue.ts'

/** An order that wants to be placed. */
export type OrderWish = {
  readonly entry: QueueEntry
  readonly names: readonly string[]
  readonly limits: IssuerLimits
  /** It says which certificate it replaces, and the CA does not count such. */
  readonly isExempt: boolean
  /** The turn that it has waited for; null when it comes for the first time. */
  readonly turn: bigint | null
}

/** What becomes of the wish. */
export type Admission =
  | { readonly kind: 'granted' }
  /** The account's orders are used up: it waits for its turn. */
  | { readonly kind: 'queued' }
  /** A limit of its own domain, set of names or name is used up until then. */
  | { readonly kind: 'blocked'; readonly exhausted: Exhausted }

/**
 * Spends what an order costs of the issuer's limits, in the transaction that creates the order; or lets
 * the certificate wait. Whoever has waited goes before newcomers of the same class.
 */
export async function admit(tx: Tx, wish: OrderWish, now: Date): Promise<Admission> {
  const { entry, names, limits } = wish
  const failing = await failingName(tx, wish, now)
  if (failing !== null) return { kind: 'blocked', exhausted: failing }
  if (wish.isExempt) return { kind: 'granted' }
  if (limits.newOrders !== null && (await isBehind(tx, entry, wish.turn))) return wait(tx, wish, now)
  const exhausted = await spendAll(tx, entry.issuerId, limits, spentByOrder(names), now)
  if (exhausted === null) return { kind: 'granted' }
  return exhausted.limit === 'newOrders' ? wait(tx, wish, now) : { kind: 'blocked', exhausted }
}

async function wait(tx: Tx, { entry, turn }: OrderWish, now: Date): Promise<Admission> {
  await enqueue(tx, entry, turn ?? (await takeTurn(tx, entry)), now)
  return { kind: 'queued' }
}

/** A name whose validations failed too often lately is not tried before the CA would look again. */
async function failingName(tx: Tx, { entry, names, limits }: OrderWish, now: Date): Promise<Exhausted | null> {
  const limit = limits.failuresPerName
  if (limit === null) return null
  for (const key of names) {
    const bucket = await failuresBucket(tx, entry.issuerId, limit, key, now)
    if (bucket.blockedUntil === null && bucket.tokens >= 1) continue
    return { limit: 'failuresPerName', key, until: availableAt(bucket, limit, now) }
  }
  return null
}

/** The class of an order: what expires soon, then new names, then the rest. */
export function classOf(attempt: { readonly reason: string; readonly isUrgent: boolean }): QueueEntry['class'] {
  if (attempt.isUrgent) return queueClass.urgent
  return attempt.reason === 'first' ? queueClass.first : queueClass.routine
}
