import type { OwnershipState } from '../generated/enums.ts'
import { eachLimited } from '../jobs/limit.ts'
import { DialError, type Dialler } from '../outbound/dialler.ts'
import type { LookupResult } from '../outbound/resolver.ts'
import type { StoredProblem } from './hostname-store.ts'
import { type Claim, challengeName, httpProofUrl, proofValue, provingNames } from './proof.ts'

/** Lookups of one domain that run at the same time. */
const PARALLEL = 16
const HTTP_LIMITS = { maxBytes: 4_096, timeoutMs: 6_000, redirects: 3 }
/** Found values that are shown to the person, and how much of each. */
const SHOWN_VALUES = 3
const SHOWN_LENGTH = 120

/** A hostname that is checked. */
export type Target = { readonly id: string; readonly claim: Claim; readonly state: OwnershipState }

/** What is looked for, on whose behalf. */
export type Search = {
  readonly registrable: string
  readonly token: string
  readonly targets: readonly Target[]
  /** Look at the domain's own record even if no target needs it. */
  readonly isDomainDue: boolean
  /** Names that other tenants have proven by TXT. */
  readonly foreign: ReadonlySet<string>
}

/** What one TXT name gave; `other` holds values, none of them the right one. */
type TxtFinding =
  | { readonly kind: 'proof' | 'absent' }
  | { readonly kind: 'other'; readonly values: readonly string[] }
  | { readonly kind: 'unanswered'; readonly reason: string }

/** What was seen, keyed by the name that is proven. */
export type Evidence = {
  readonly startedAt: Date
  readonly txt: ReadonlyMap<string, TxtFinding>
  /** Hostnames to null (proven) or why they are not. */
  readonly http: ReadonlyMap<string, { readonly reason: string | null; readonly isSlow: boolean }>
}

/**
 * Looks for the proofs of some hostnames of one domain. The record at the highest name comes first: it
 * mostly proves all at once. Verified targets are looked for by TXT alone. Never throws.
 */
export async function gatherEvidence(dialler: Dialler, search: Search, startedAt: Date): Promise<Evidence> {
  const txt = new Map<string, TxtFinding>()
  const http = new Map<string, { reason: string | null; isSlow: boolean }>()
  const value = proofValue(search.token)
  const names = new Map(search.targets.map(({ id, claim }) => [id, provingNames(claim, search.foreign)]))
  const open = (): Target[] =>
    search.targets.filter(({ id }) => !names.get(id)?.some((name) => txt.get(name)?.kind === 'proof'))
  const look = (wanted: Iterable<string | undefined>): Promise<void> =>
    eachLimited([...new Set(wanted)], PARALLEL, async (name) => {
      if (name !== undefined && !txt.has(name))
        txt.set(name, judge(await dialler.lookupTxt(challengeName(name)), value))
    })
  await look([...[...names.values()].map((chain) => chain[0]), ...(search.isDomainDue ? [search.registrable] : [])])
  await look(open().flatMap(({ id }) => names.get(id) ?? []))
  const byHttp = open().filter(({ claim, state }) => state !== 'verified' && !claim.name.startsWith('*.'))
  await eachLimited(byHttp, PARALLEL, async ({ claim }) => {
    http.set(claim.name, await fetchProof(dialler, httpProofUrl(claim.name, search.token), value))
  })
  return { startedAt, txt, http }
}

/** Why a claim is not proven by this evidence: what was found instead, and what to do. */
export function missingProblem(search: Search, target: Target, evidence: Evidence): StoredProblem {
  const names = provingNames(target.claim, search.foreign)
  const findings = names.map((name) => ({ name, finding: evidence.txt.get(name) }))
  const http = evidence.http.get(target.claim.name)
  const isSlow = http?.isSlow === true || findings.some(({ finding }) => finding?.kind === 'unanswered')
  const slow = isSlow ? { isSlow } : {}
  const httpDetail = http?.reason == null ? '' : ` By HTTP: ${http.reason}.`
  for (const { name, finding } of findings)
    if (finding?.kind === 'other') {
      const found = finding.values.slice(0, SHOWN_VALUES).map(shown).join(', ')
      const detail = `The TXT record at ${challengeName(name)} holds ${found} instead of "${proofValue(search.token)}". Add the right value; others may stay beside it.`
      return { code: 'TXT_OTHER_VALUE', detail: `${detail}${httpDetail}`, ...slow }
    }
  for (const { name, finding } of findings)
    if (finding?.kind === 'unanswered') {
      const detail = `The DNS gave no answer for ${challengeName(name)}: ${finding.reason}. It is tried again by itself; check the name servers of the domain.`
      return { code: 'DNS_UNANSWERED', detail: `${detail}${httpDetail}`, ...slow }
    }
  const places = names.map(challengeName)
  const detail = `There is no TXT record at ${places.join(' or ')} yet. New records can take some minutes to be seen.`
  return { code: 'TXT_MISSING', detail: `${detail}${httpDetail}`, ...slow }
}

/** Whether the DNS left it open if a claim is proven by TXT. */
export function isUnanswered(search: Search, target: Target, evidence: Evidence): boolean {
  return provingNames(target.claim, search.foreign).some((name) => evidence.txt.get(name)?.kind === 'unanswered')
}

function judge(result: LookupResult, value: string): TxtFinding {
  if (result.kind !== 'found') return result
  return result.values.some((text) => text.trim() === value)
    ? { kind: 'proof' }
    : { kind: 'other', values: result.values }
}

async function fetchProof(dialler: Dialler, url: string, value: string) {
  try {
    const answer = await dialler.fetchText(url, HTTP_LIMITS)
    if (answer.status !== 200) return { reason: `${url} answered with status ${answer.status}`, isSlow: false }
    const reason = answer.text.trim() === value ? null : `${url} answered something else`
    return { reason, isSlow: false }
  } catch (error) {
    if (!(error instanceof DialError)) throw error
    return { reason: error.message, isSlow: slowCodes.includes(error.code) }
  }
}

/** What another time may be otherwise. */
const slowCodes: readonly string[] = ['timeout', 'connect', 'no-route']

function shown(value: string): string {
  const plain = value.replace(/[^\x20-\x7e]/g, '?')
  return `"${plain.length > SHOWN_LENGTH ? `${plain.slice(0, SHOWN_LENGTH)}…` : plain}"`
}
