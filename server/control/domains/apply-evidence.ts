import type { Tx } from '../db.ts'
import { recordEvent } from '../events/record.ts'
import { type DomainRow, findDomain, keepProof, lapseProofs, lockRegistrable, setDomainCheck } from './domain-store.ts'
import { type Evidence, isUnanswered, missingProblem, type Search, type Target } from './evidence.ts'
import { hostnamesOf, saveOutcome, saveSeen } from './hostname-store.ts'
import { claimOf, coveringProof, provingNames } from './proof.ts'
import { hasLapsed, nextPendingCheck, nextVerifiedCheck, standingSince } from './schedule.ts'
import { type CertificateHooks, hostnameEvent, moveDomain, settleDomain } from './settle.ts'

/** A DNS that gives no answer is asked again so much later for a verified name. */
const UNANSWERED_RETRY_MS = 3_600_000
/** A domain's own record that was not seen for so long is gone. */
const APEX_LAPSE_MS = 3 * 86_400_000

type Row = Awaited<ReturnType<typeof hostnamesOf>>[number]
type Judged = { readonly search: Search; readonly evidence: Evidence; readonly domain: DomainRow; readonly now: Date }

/**
 * Writes what a check has seen, in the caller's transaction: proofs, the states that follow from
 * them, and when to look again. A domain or hostname that was removed meanwhile is passed over.
 * Applying the same evidence twice changes nothing but times.
 */
export async function applyEvidence(
  tx: Tx,
  hooks: CertificateHooks,
  domainId: string,
  search: Search,
  evidence: Evidence,
): Promise<void> {
  await lockRegistrable(tx, search.registrable)
  if ((await findDomain(tx, domainId)) === null) return
  const now = new Date()
  await keepSeen(tx, domainId, search, evidence, now)
  const domain = await findDomain(tx, domainId)
  if (domain === null) return
  await settleDomain(tx, hooks, domain, now)
  await concludeHostnames(tx, { search, evidence, domain, now })
  if (search.isDomainDue) await concludeDomain(tx, domain, evidence, now)
  await lapseDomain(tx, domainId)
}

async function keepSeen(tx: Tx, domainId: string, search: Search, evidence: Evidence, now: Date): Promise<void> {
  for (const [name, { kind }] of evidence.txt) if (kind === 'proof') await keepProof(tx, domainId, name, 'txt', now)
  const present = await hostnamesOf(
    tx,
    domainId,
    search.targets.map(({ id }) => id),
  )
  for (const { name } of present)
    if (evidence.http.get(name)?.reason === null) await keepProof(tx, domainId, name, 'http', now)
}

/** Names that are proven by this evidence are written at once; a domain may have hundreds. */
async function concludeHostnames(tx: Tx, judged: Judged): Promise<void> {
  const { search, evidence, domain, now } = judged
  const targets = new Map(search.targets.map((target) => [target.id, target]))
  const seen: string[] = []
  for (const row of await hostnamesOf(tx, domain.id, [...targets.keys()])) {
    const target = targets.get(row.id)
    if (target === undefined) continue
    const proof = coveringProof(claimOf(row.name, domain.name), domain.proofs, search.foreign, evidence.startedAt)
    if (row.ownershipState !== 'verified') await concludeOpen(tx, row, target, judged)
    else if (proof !== undefined) seen.push(row.id)
    else if (isUnanswered(search, target, evidence)) await concludeUnanswered(tx, row, target, judged)
    else await concludeMissing(tx, row, target, judged)
  }
  await saveSeen(tx, seen, now, nextVerifiedCheck(now, Math.random()))
}

/** No answer says nothing about a verified name. */
async function concludeUnanswered(tx: Tx, row: Row, target: Target, { search, evidence, now }: Judged): Promise<void> {
  const problem = missingProblem(search, target, evidence)
  await saveOutcome(tx, row.id, { checkedAt: now, checkDueAt: later(now, UNANSWERED_RETRY_MS), problem })
}

/** A dispute whose proof still stands was concluded when the domain was settled; one without is a mere claim again. */
async function concludeOpen(tx: Tx, row: Row, target: Target, judged: Judged): Promise<void> {
  const { search, evidence, domain, now } = judged
  const claim = claimOf(row.name, domain.name)
  if (coveringProof(claim, domain.proofs, search.foreign, standingSince(now)) !== undefined) return
  await saveOutcome(tx, row.id, {
    ...(row.ownershipState === 'disputed' ? { ownershipState: 'pending' } : {}),
    checkedAt: now,
    checkDueAt: row.ownershipState === 'released' ? null : nextPendingCheck(row.createdAt, now, Math.random()),
    checkFailures: row.checkFailures + 1,
    problem: missingProblem(search, target, evidence),
  })
}

/** The proof of a verified name was there and is not: it lapses after some days, not at once. */
async function concludeMissing(tx: Tx, row: Row, target: Target, judged: Judged): Promise<void> {
  const { search, evidence, domain, now } = judged
  const names = provingNames(target.claim, search.foreign)
  const times = domain.proofs.filter(({ method, name }) => method === 'txt' && names.includes(name)).map(seenTime)
  const seenAt = new Date(Math.max(...times, row.verifiedAt?.getTime() ?? 0))
  const failures = row.checkFailures + 1
  const isOver = hasLapsed(seenAt, failures, now)
  const { detail } = missingProblem(search, target, evidence)
  await saveOutcome(tx, row.id, {
    checkedAt: now,
    checkDueAt: nextVerifiedCheck(now, Math.random()),
    checkFailures: failures,
    ...(isOver ? { ownershipState: 'lapsed' } : {}),
    problem: { code: 'TXT_GONE', detail: `The record that proved this name is gone; put it back. ${detail}` },
  })
  if (!isOver) return
  await lapseProofs(tx, domain.id, names, now)
  await recordEvent(tx, hostnameEvent(row, 'hostname.lapsed'))
}

async function concludeDomain(tx: Tx, domain: DomainRow, evidence: Evidence, now: Date): Promise<void> {
  const finding = evidence.txt.get(domain.name)?.kind
  const apex = domain.proofs.find(({ name, method }) => name === domain.name && method === 'txt')
  const isGone = finding === 'absent' || finding === 'other'
  if (isGone && apex?.lapsedAt === null && now.getTime() - apex.checkedAt.getTime() >= APEX_LAPSE_MS)
    await lapseProofs(tx, domain.id, [domain.name], now)
  const next =
    finding === 'proof'
      ? nextVerifiedCheck
      : (at: Date, random: number) => nextPendingCheck(domain.createdAt, at, random)
  await setDomainCheck(tx, domain.id, next(now, Math.random()))
}

/** A domain is verified while the proof at its own name has not lapsed. */
async function lapseDomain(tx: Tx, domainId: string): Promise<void> {
  const domain = await findDomain(tx, domainId)
  if (domain?.state !== 'verified') return
  const isProven = domain.proofs.some(
    ({ name, method, lapsedAt }) => name === domain.name && method === 'txt' && lapsedAt === null,
  )
  if (!isProven) await moveDomain(tx, domain, 'lapsed')
}

function seenTime(proof: { readonly checkedAt: Date }): number {
  return proof.checkedAt.getTime()
}

function later(now: Date, ms: number): Date {
  return new Date(now.getTime() + ms)
}
