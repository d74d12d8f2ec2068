import { type Db, write } from '../db.ts'
import { insertMails } from '../mail/store.ts'
import { composeMail } from './compose.ts'
import { findRecipients, takeUntold, tenantsToTell } from './store.ts'

/** What comes within this time of the first notice is in the same mail: a tenant has at most one mail in it. */
export const DIGEST_MS = 600_000
const BATCH = 100

/**
 * Puts one mail for each person of a tenant whose first untold notice is ten minutes old into the outbox, with all
 * its notices. Marked as told and put into the outbox in one transaction: a restart tells nothing twice.
 */
export async function tellTenants(db: Db, now: Date, panelUrl: string | null): Promise<void> {
  const before = new Date(now.getTime() - DIGEST_MS)
  for (let batch = BATCH; batch === BATCH; ) {
    const tenants = await tenantsToTell(db, before, BATCH)
    for (const tenantId of tenants) await tell(db, tenantId, now, panelUrl)
    batch = tenants.length
  }
}

async function tell(db: Db, tenantId: string | null, now: Date, panelUrl: string | null): Promise<void> {
  await write(db, {}, async (tx) => {
    const notices = await takeUntold(tx, tenantId, now)
    if (notices.length === 0) return
    const { name, emails } = await findRecipients(tx, tenantId)
    const mail = composeMail(notices, { tenantName: name, panelUrl })
    await insertMails(
      tx,
      emails.map((recipient) => ({ ...mail, tenantId, recipient })),
    )
  })
}
