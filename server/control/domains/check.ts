import { type Db, isWriteConflict, write } from '../db.ts'
import { AppError } from '../errors.ts'
import type { Dialler } from '../outbound/dialler.ts'
import { applyEvidence } from './apply-evidence.ts'
import { findDomain, foreignProofs } from './domain-store.ts'
import { type Evidence, gatherEvidence, isUnanswered, type Search } from './evidence.ts'
import { findHostname, hostnamesOf } from './hostname-store.ts'
import { claimOf, coveringProof } from './proof.ts'
import { excusedSince, freshSince, standingSince } from './schedule.ts'
import type { CertificateHooks } from './settle.ts'

/** Checks that people asked for and that run at the same time; each may wait for a slow DNS. */
const MAX_ASKED = 32
/** Times that a write is tried when it meets a concurrent one of certificates. */
const WRITE_TRIES = 3

/** What checks of ownership need. */
export type CheckerDeps = { readonly db: Db; readonly dialler: Dialler; readonly hooks: CertificateHooks }

/** Looks for proofs and writes what follows. */
export type Checker = ReturnType<typeof createChecker>

/** Makes the checker. Its methods take as long as the DNS takes: a few seconds at most per name. */
export function createChecker({ db, dialler, hooks }: CheckerDeps) {
  /** Returns what was seen, or null when there is nothing to look at any more. */
  const check = async (
    domainId: string,
    hostnameIds: readonly string[],
    isDomainDue = false,
  ): Promise<Evidence | null> => {
    const search = await searchOf(db, domainId, hostnameIds, isDomainDue)
    if (search === null) return null
    const evidence = await gatherEvidence(dialler, search, new Date())
    for (let tries = 1; ; tries++) {
      try {
        await write(db, {}, (tx) => applyEvidence(tx, hooks, domainId, search, evidence))
        return evidence
      } catch (error) {
        if (!isWriteConflict(error) || tries === WRITE_TRIES) throw error
      }
    }
  }
  let asked = 0
  return {
    check,

    /** A check that a person asked for: bounded in number. Throws TOO_MANY_REQUESTS. */
    async checkNow(domainId: string, hostnameIds: readonly string[], isDomainDue = false): Promise<void> {
      if (asked >= MAX_ASKED)
        throw new AppError('TOO_MANY_REQUESTS', 'Many names are being checked right now.', { retryAfterSeconds: 5 })
      asked += 1
      try {
        await check(domainId, hostnameIds, isDomainDue)
      } finally {
        asked -= 1
      }
    },

    /**
     * Whether a certificate may be ordered for a hostname: it is verified, and its TXT proof was seen
     * minutes ago or is there now. While the DNS gives no answer, a proof seen within three days
     * counts. HTTP and trusted proofs cannot be looked at again and stand.
     */
    async recheckBeforeOrder(hostnameId: string): Promise<boolean> {
      const before = await proofOf(db, hostnameId, freshSince(new Date()))
      if (before.isProven || before.domainId === null) return before.isProven
      const startedAt = new Date()
      const search = await searchOf(db, before.domainId, [hostnameId], false)
      const evidence = await check(before.domainId, [hostnameId])
      const [target] = search?.targets ?? []
      if (search === null || evidence === null || target === undefined) return false
      const since = isUnanswered(search, target, evidence) ? excusedSince(startedAt) : startedAt
      return (await proofOf(db, hostnameId, since)).isProven
    },
  }
}

async function searchOf(
  db: Db,
  domainId: string,
  hostnameIds: readonly string[],
  isDomainDue: boolean,
): Promise<Search | null> {
  const domain = await findDomain(db, domainId)
  if (domain === null) return null
  const rows = await hostnamesOf(db, domainId, hostnameIds)
  if (rows.length === 0 && !isDomainDue) return null
  const foreign = await foreignProofs(db, domain, standingSince(new Date()))
  return {
    registrable: domain.name,
    token: domain.token,
    targets: rows.map(({ id, name, ownershipState }) => ({
      id,
      claim: claimOf(name, domain.name),
      state: ownershipState,
    })),
    isDomainDue,
    foreign: new Set(foreign.map(({ name }) => name)),
  }
}

/** Whether a verified hostname has a proof seen since then; `domainId` is null when it is not verified. */
async function proofOf(
  db: Db,
  hostnameId: string,
  since: Date,
): Promise<{ isProven: boolean; domainId: string | null }> {
  const row = await findHostname(db, hostnameId)
  const domain = row?.ownershipState === 'verified' ? await findDomain(db, row.domainId) : null
  if (row === null || domain === null) return { isProven: false, domainId: null }
  const foreign = await foreignProofs(db, domain, standingSince(new Date()))
  const names = new Set(foreign.map(({ name }) => name))
  const proof = coveringProof(claimOf(row.name, domain.name), domain.proofs, names, since)
  return { isProven: proof !== undefined, domainId: domain.id }
}
