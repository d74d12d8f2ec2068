import { type CaaChange, type CaaVerdict, caaRemedy, caaText, judgeCaa, relevantSet } from './caa.ts'
import { allMethods, type Finding, note, problem } from './finding.ts'
import type { DoctorIssuer, Observation } from './observation.ts'

const SHOWN = 6

/** What CAA leaves: the finding, and the issuers that may be asked with the ways that are left. */
export type CaaOutcome = {
  readonly finding: Finding
  readonly permitted: readonly { readonly id: string; readonly methods: DoctorIssuer['methods'] }[]
}

/** Judges CAA for each issuer. While it could not be looked up, none is ruled out. */
export function judgeIssuers(seen: Observation, issuers: readonly DoctorIssuer[]): CaaOutcome {
  const isWildcard = seen.name.startsWith('*.')
  const set = relevantSet(seen.caa)
  if (set.kind === 'none')
    return { finding: note('CAA', 'ok', 'There is no CAA record: every CA may issue.'), permitted: issuers }
  if (set.kind === 'unanswered') return { finding: unanswered(seen, set.at, set.reason), permitted: issuers }
  const judged = issuers.map((issuer) => ({ issuer, verdict: judgeCaa(set.records, issuer, isWildcard) }))
  const permitted = judged.flatMap(({ issuer, verdict }) =>
    verdict.isPermitted ? [{ id: issuer.id, methods: verdict.methods }] : [],
  )
  const refused = judged.flatMap(({ issuer, verdict }) => (verdict.isPermitted ? [] : [{ issuer, verdict }]))
  const [first] = refused
  const records = set.records.slice(0, SHOWN).map(caaText).join(', ')
  if (first === undefined)
    return { finding: note('CAA', 'ok', `The CAA records at ${set.at} permit the certificate: ${records}.`), permitted }
  const fix = fixText(caaRemedy(set.records, first.issuer, isWildcard))
  const why = refused.map(({ issuer, verdict }) => reasonText(issuer, verdict)).join(' ')
  const detail = `The CAA records at ${set.at} are ${records}. ${why}`
  if (permitted.length > 0) return { finding: note('CAA_FORBIDS_SOME', 'warning', detail, fix), permitted }
  const isCritical = first.verdict.because === 'critical'
  return { finding: problem(isCritical ? 'CAA_CRITICAL_UNKNOWN' : 'CAA_FORBIDS', allMethods, detail, fix), permitted }
}

/** A failure while the name itself resolves is the zone's; while nothing resolves, it may be ours. */
function unanswered(seen: Observation, at: string, reason: string): Finding {
  const detail = `CAA of ${at} cannot be looked up: ${reason}.`
  if (seen.dnssec.checked !== 'answered') return note('CAA_UNANSWERED', 'unknown', detail)
  return problem(
    'CAA_UNANSWERED',
    allMethods,
    `${detail} Other records of the name can. A CA that gets no answer does not issue (RFC 8659 section 3).`,
    `See that the name servers of ${at} answer questions for CAA, if only with an empty answer: old name servers and some firewalls drop them. A signed zone must be signed for it too.`,
  )
}

function reasonText(issuer: DoctorIssuer, verdict: CaaVerdict & { isPermitted: false }): string {
  const { because, record } = verdict
  if (because === 'critical')
    return `${issuer.name} must not issue, since ${record === null ? 'a record' : caaText(record)} is marked critical and not understood.`
  if (because === 'account')
    return issuer.accountUrl === null
      ? `${issuer.name} is bound to an account (accounturi), and we have none there yet.`
      : `${issuer.name} is bound to another account than ours (${issuer.accountUrl}).`
  if (because === 'method')
    return `${issuer.name} is bound to other ways of proof (validationmethods) than ours: ${issuer.methods.join(', ')}.`
  return `They do not name ${issuer.name} (${issuer.caaIdentities?.[0] ?? ''}).`
}

function fixText(changes: readonly CaaChange[]): string {
  return changes
    .map(({ remove, add }) => {
      if (add === null) return `Remove the record ${remove === null ? '' : caaText(remove)}.`
      return remove === null
        ? `Add the record ${caaText(add)}.`
        : `Change the record ${caaText(remove)} to ${caaText(add)}.`
    })
    .join(' ')
}
