import type { Db } from '../../db.ts'
import { notFound } from '../../errors.ts'
import { dedicatedAddresses } from '../diagnosis-store.ts'
import { findHostname } from '../hostname-store.ts'
import { isOurs } from './addresses.ts'
import { cdnOfAddress } from './cdn.ts'
import type { Finding } from './finding.ts'
import { blockingFinding, judge } from './findings.ts'
import { type GatherDeps, gather, hostOfName, withTarget } from './gather.ts'
import type { DoctorIssuer, RightPlaces } from './observation.ts'

/** Where tenants are told to point their names, and whether port 80 is tried (setting `doctor`). */
export type DoctorTargets = {
  readonly publicAddresses: readonly string[]
  readonly cnameTarget: string | null
  readonly doctor: { readonly httpProbe: boolean }
}

/** What the doctor needs. */
export type DoctorDeps = GatherDeps & { readonly db: Db; readonly publicTargets: () => Promise<DoctorTargets> }

/** A hostname that is there, or a name as it would be for a site. */
export type DoctorSubject = { readonly hostnameId: string } | { readonly name: string; readonly siteId: string }

/** What a first order is asked about. */
export type PreflightOptions = {
  /** In the order in which they would be asked; `methods` those by which this name can be proven now. */
  readonly issuers: readonly DoctorIssuer[]
  /** How far the CA's clock (its `Date`) is ahead of ours, in ms. */
  readonly clockSkewMs?: number
  /** Ends the lookups early; what is not known by then blocks nothing. */
  readonly signal?: AbortSignal
}

/** Whether a first order has a chance. */
export type Preflight = {
  /** For this one it would fail for sure; null: go on. What could not be looked up never blocks. */
  readonly blocking: Finding | null
  /** Issuers that CAA permits, in the given order; all of them while CAA is not known. */
  readonly permittedIssuerIds: readonly string[]
  readonly findings: readonly Finding[]
}

/**
 * here: it leads to an address of ours; elsewhere: to others alone; gone: the DNS says that there is no
 * address; unknown: no answer, a CDN that may pass on, or nothing is set up here to compare with.
 */
export type Whereabouts = 'here' | 'elsewhere' | 'gone' | 'unknown'

/** Looks at names as visitors and CAs see them. No access checks: for the system, and behind a service's. */
export type Doctor = {
  /** All findings for a name, in at most 10 s. Never throws for what it finds. */
  examine(
    subject: { readonly name: string; readonly siteId: string },
    issuers: readonly DoctorIssuer[],
  ): Promise<readonly Finding[]>
  /** Before a first order, in at most 10 s; never to veto a renewal. Throws NOT_FOUND for a hostname that is gone. */
  preflight(subject: DoctorSubject, options: PreflightOptions): Promise<Preflight>
  /**
   * Where a name leads, by the resolvers alone: two lookups, some seconds at most. Never throws for the DNS; of
   * a hostname that is gone nothing is known.
   */
  whereabouts(subject: DoctorSubject): Promise<Whereabouts>
}

/** Makes the doctor. */
export function createDoctor(deps: DoctorDeps): Doctor {
  const { db, dialler } = deps
  const look = async (
    { name, siteId }: { readonly name: string; readonly siteId: string },
    { issuers, clockSkewMs = null, signal }: Omit<PreflightOptions, 'clockSkewMs'> & { clockSkewMs?: number | null },
  ) => {
    const [targets, right] = await places(deps, siteId)
    const seen = await gather(deps, {
      name,
      right,
      isProbed: targets.doctor.httpProbe,
      clockSkewMs,
      ...(signal === undefined ? {} : { signal }),
    })
    return judge(seen, issuers)
  }
  return {
    examine: async (subject, issuers) => (await look(subject, { issuers })).findings,

    async preflight(subject, options) {
      const named = await nameOf(db, subject)
      if (named === null) throw notFound('hostname')
      const judgement = await look(named, options)
      return {
        blocking: blockingFinding(judgement, named.name, options.issuers),
        permittedIssuerIds: judgement.permitted.map(({ id }) => id),
        findings: judgement.findings,
      }
    },

    async whereabouts(subject) {
      const named = await nameOf(db, subject)
      if (named === null) return 'unknown'
      const host = hostOfName(named.name)
      const [, set] = await places(deps, named.siteId)
      const [right, a, aaaa] = await Promise.all([
        withTarget(dialler, set),
        dialler.lookupA(host),
        dialler.lookupAaaa(host),
      ])
      const addresses = [a, aaaa].flatMap((result) => (result.kind === 'found' ? result.values : []))
      if (a.kind === 'absent' && aaaa.kind === 'absent') return 'gone'
      if (addresses.some((address) => isOurs(address, right))) return 'here'
      const isSure = a.kind !== 'unanswered' && aaaa.kind !== 'unanswered' && right.addresses.length > 0
      return isSure && addresses.every((address) => cdnOfAddress(address) === null) ? 'elsewhere' : 'unknown'
    },
  }
}

async function nameOf(db: Db, subject: DoctorSubject): Promise<{ name: string; siteId: string } | null> {
  return 'hostnameId' in subject ? findHostname(db, subject.hostnameId) : subject
}

async function places({ db, publicTargets }: DoctorDeps, siteId: string): Promise<[DoctorTargets, RightPlaces]> {
  const [targets, own] = await Promise.all([publicTargets(), dedicatedAddresses(db, siteId)])
  return [targets, { addresses: [...new Set([...targets.publicAddresses, ...own])], cnameTarget: targets.cnameTarget }]
}
