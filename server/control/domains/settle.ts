import { hint, type Tx } from '../db.ts'
import { type NewEvent, recordEvent, recordEvents } from '../events/record.ts'
import { type DomainRow, domainHolders, type ForeignProof, foreignProofs, setDomainState } from './domain-store.ts'
import { hostnameHolders, openClaims, type StoredProblem, saveOutcome, saveVerified } from './hostname-store.ts'
import { claimOf, coveringProof, namesAbove } from './proof.ts'
import { nextPendingCheck, nextVerifiedCheck, standingSince } from './schedule.ts'

/** What ownership needs from certificates; both run in the caller's transaction. */
export type CertificateHooks = {
  /** The hostname does not use it any more. */
  readonly retireCertificate: (tx: Tx, certificateId: string) => Promise<void>
  /** The name is proven (again): what had failed or waited is tried at once. */
  readonly retryCertificate: (tx: Tx, certificateId: string) => Promise<void>
}

type Claimed = Awaited<ReturnType<typeof openClaims>>[number]
type Holder = Awaited<ReturnType<typeof hostnameHolders>>[number]

const held: StoredProblem = {
  code: 'NAME_HELD',
  detail:
    'Your proof was found, but another tenant of this installation holds the name. It becomes yours some days after their proof is gone. If the name is yours, ask your provider.',
}

/**
 * Compares what a domain's proofs cover with the states of the domain and its hostnames, and brings
 * these to what follows: covered claims become verified, or disputed where another tenant is
 * verified; who had let the name lapse is released and loses its certificate. The caller holds
 * `lockRegistrable` and passes the domain as it is in this transaction.
 */
export async function settleDomain(tx: Tx, hooks: CertificateHooks, domain: DomainRow, now: Date): Promise<void> {
  const since = standingSince(now)
  const foreign = await foreignProofs(tx, domain, since)
  await settleApex(tx, domain, since)
  const foreignNames = new Set(foreign.map(({ name }) => name))
  const covered = (await openClaims(tx, domain.id)).filter(
    (row) => coveringProof(claimOf(row.name, domain.name), domain.proofs, foreignNames, since) !== undefined,
  )
  if (covered.length === 0) return
  const holders = await hostnameHolders(
    tx,
    domain.tenantId,
    covered.map(({ name }) => name),
  )
  const won: Claimed[] = []
  for (const row of covered) {
    const others = holders.filter(({ name }) => name === row.name)
    if (others.some(({ ownershipState }) => ownershipState === 'verified')) await dispute(tx, row, now)
    else {
      for (const other of others) await release(tx, hooks, other)
      won.push(row)
    }
  }
  await verify(tx, hooks, won, now)
  for (const row of won) await announce(tx, domain.name, row, foreign)
  await hint(tx, 'certificates')
}

async function settleApex(tx: Tx, domain: DomainRow, since: Date): Promise<void> {
  const isProven = domain.proofs.some(
    ({ name, method, lapsedAt, checkedAt }) =>
      name === domain.name && method === 'txt' && lapsedAt === null && checkedAt >= since,
  )
  if (!isProven || domain.state === 'verified') return
  const holders = await domainHolders(tx, domain)
  if (holders.some(({ state }) => state === 'verified')) return moveDomain(tx, domain, 'disputed')
  for (const other of holders) await moveDomain(tx, other, 'released')
  await moveDomain(tx, domain, 'verified')
}

/** Sets a domain's state and tells of it; nothing when it is that already. */
export async function moveDomain(
  tx: Tx,
  domain: Pick<DomainRow, 'id' | 'tenantId' | 'name' | 'state'>,
  state: 'verified' | 'disputed' | 'released' | 'lapsed',
): Promise<void> {
  if (domain.state === state) return
  await setDomainState(tx, domain.id, state)
  await recordEvent(tx, {
    actor: 'system',
    tenantId: domain.tenantId,
    action: `domain.${state}`,
    subjectId: domain.id,
    subjectName: domain.name,
  })
}

async function verify(tx: Tx, hooks: CertificateHooks, rows: readonly Claimed[], now: Date): Promise<void> {
  const ids = rows.map(({ id }) => id)
  await saveVerified(tx, ids, now, nextVerifiedCheck(now, Math.random()))
  for (const { certificateId } of rows) if (certificateId !== null) await hooks.retryCertificate(tx, certificateId)
  await recordEvents(
    tx,
    rows.map((row) => hostnameEvent(row, 'hostname.verified')),
  )
}

async function dispute(tx: Tx, row: Claimed, now: Date): Promise<void> {
  await saveOutcome(tx, row.id, {
    ownershipState: 'disputed',
    checkedAt: now,
    checkDueAt: nextPendingCheck(row.createdAt, now, Math.random()),
    problem: held,
  })
  if (row.ownershipState !== 'disputed') await recordEvent(tx, hostnameEvent(row, 'hostname.disputed'))
}

async function release(tx: Tx, hooks: CertificateHooks, holder: Holder): Promise<void> {
  await saveOutcome(tx, holder.id, {
    ownershipState: 'released',
    certificateId: null,
    checkDueAt: null,
    problem: {
      code: 'NAME_MOVED',
      detail:
        'Your proof had been gone for days, and another tenant has proven this name since. It is not served for you any more.',
    },
  })
  if (holder.certificateId !== null) await hooks.retireCertificate(tx, holder.certificateId)
  await recordEvent(tx, hostnameEvent(holder, 'hostname.released'))
}

/** Who has proven a name above hears that somebody uses a name below it, never who. */
async function announce(tx: Tx, registrable: string, row: Claimed, foreign: readonly ForeignProof[]): Promise<void> {
  const above = new Set(namesAbove(claimOf(row.name, registrable), new Set(foreign.map(({ name }) => name))))
  const told = new Set<string>()
  for (const { name, domainId, tenantId } of foreign) {
    if (!above.has(name) || told.has(tenantId)) continue
    told.add(tenantId)
    await recordEvent(tx, {
      actor: 'system',
      tenantId,
      action: 'domain.subname_claimed',
      subjectId: domainId,
      subjectName: registrable,
      detail: { name: row.name },
    })
  }
}

/** What the tenant is told of a change of a hostname's ownership. */
export function hostnameEvent(
  row: { readonly id: string; readonly tenantId: string; readonly name: string },
  action: string,
): NewEvent {
  return { actor: 'system', tenantId: row.tenantId, action, subjectId: row.id, subjectName: row.name }
}
