import { type Db, type Tx, write } from '../db.ts'
import { type PlatformTrouble, planPlatform } from './platform-plan.ts'
import { findFailingIssuers, insertNotices, savePlatformWatches, takePlatformWatches } from './store.ts'

const HOUR_MS = 3_600_000
/** A clock that is wrong by more than this makes certificates that are "not valid yet" and orders that are refused. */
const MAX_SKEW_MS = 300_000

/** How far our clock is from that of the CAs in ms (positive: ours is ahead); null: no CA was heard lately. */
export type ClockSkew = () => number | null

/** Looks at issuers and clock and notes what admins are to be told. Does nothing while another process does. */
export async function lookAtPlatform(db: Db, now: Date, clockSkew: ClockSkew): Promise<void> {
  await write(db, {}, async (tx) => {
    const rows = await takePlatformWatches(tx)
    if (rows === null) return
    const troubles = [...(await issuerTroubles(tx, now)), ...clockTrouble(clockSkew())]
    const plan = planPlatform(troubles, rows, now)
    await savePlatformWatches(tx, plan.keep, plan.drop)
    for (const { kind, key } of plan.add) {
      const trouble = troubles.find((one) => one.key === key)
      const subject = trouble?.subject ?? (await nameOf(tx, key))
      const ofPlatform = { tenantId: null, certificateId: null, notAfter: null, createdAt: now }
      await insertNotices(tx, [{ ...ofPlatform, kind, subject, reason: trouble?.reason ?? null }])
    }
  })
}

async function issuerTroubles(tx: Tx, now: Date): Promise<PlatformTrouble[]> {
  const issuers = await findFailingIssuers(tx, new Date(now.getTime() - HOUR_MS))
  return issuers.map(({ key, subject, reason, waiting }) => ({
    key,
    subject: `issuer "${subject}"`,
    reason: `For an hour it has issued nothing, and ${waiting} ${waiting === 1 ? 'certificate waits' : 'certificates wait'}. ${reason}`,
    patienceMs: HOUR_MS,
  }))
}

function clockTrouble(skewMs: number | null): PlatformTrouble[] {
  if (skewMs === null || Math.abs(skewMs) <= MAX_SKEW_MS) return []
  const minutes = Math.round(Math.abs(skewMs) / 60_000)
  const reason = `The clock of this machine is ${minutes} minutes ${skewMs > 0 ? 'ahead of' : 'behind'} that of the CA. Set it right (chrony, systemd-timesyncd): certificates depend on it.`
  return [{ key: 'clock', subject: 'the clock of this machine', reason, patienceMs: 0 }]
}

async function nameOf(tx: Tx, key: string): Promise<string> {
  if (key === 'clock') return 'the clock of this machine'
  const issuer = await tx.issuer.findUnique({ where: { id: key.slice('issuer:'.length) }, select: { name: true } })
  return issuer === null ? 'an issuer that was removed' : `issuer "${issuer.name}"`
}
