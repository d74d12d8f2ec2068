import { type Db, write } from '../db.ts'
import { findIssuer } from './issuer-store.ts'
import { ordersBucket } from './ledger-store.ts'
import { limitsOf } from './limits.ts'
import { issuersWithQueue, letThrough } from './queue.ts'

/** An issuer that is switched off, or has no limit any more, lets all go on in portions. */
const WITHOUT_LIMIT = 500

/** Lets as many orders out of each issuer's queue as its account has left. Costs nothing where nobody waits. */
export async function letOrdersThrough(db: Db, now: Date): Promise<void> {
  for (const issuerId of await issuersWithQueue(db)) {
    const issuer = await findIssuer(db, issuerId)
    if (issuer === null) continue
    const { newOrders } = limitsOf(issuer)
    const isLimited = newOrders !== null && issuer.isEnabled
    const bucket = isLimited ? await ordersBucket(db, issuerId, newOrders, now) : null
    const room = bucket === null ? WITHOUT_LIMIT : bucket.blockedUntil === null ? Math.floor(bucket.tokens) : 0
    if (room > 0) await write(db, {}, (tx) => letThrough(tx, issuerId, room))
  }
}
