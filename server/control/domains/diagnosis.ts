import type { Db } from '../db.ts'
import type { Dialler } from '../outbound/dialler.ts'
import type { LookupResult } from '../outbound/resolver.ts'
import { type EdgeStanding, edgeStanding } from './diagnosis-store.ts'
import type { Doctor } from './doctor/doctor.ts'
import type { Finding } from './doctor/finding.ts'
import type { DoctorIssuer } from './doctor/observation.ts'
import type { HostnameRow } from './hostname-store.ts'
import { probeCheck } from './probe-view.ts'
import { challengeName, claimOf, proofValue } from './proof.ts'
import type { Diagnosis, DiagnosisCheck, HostnameView } from './schema.ts'
import { wanted } from './view.ts'

/** What a diagnosis needs. */
export type DiagnosisDeps = {
  readonly dialler: Dialler
  readonly doctor: Doctor
  /** The CAs that a tenant's certificates may come from. */
  readonly issuersForDiagnosis: (tenantId: string) => Promise<readonly DoctorIssuer[]>
}

/**
 * What stands between a hostname and its visitors, looked at now: ownership, all that the doctor finds,
 * certificate, edges. Takes as long as the DNS takes, 15 s at most. Never throws for what it finds.
 */
export async function diagnose(deps: DiagnosisDeps, db: Db, row: HostnameRow, shown: HostnameView): Promise<Diagnosis> {
  const [standing, ownership, findings] = await Promise.all([
    edgeStanding(db, wanted(row)),
    ownershipCheck(deps.dialler, row, shown),
    deps.issuersForDiagnosis(row.tenantId).then((issuers) => deps.doctor.examine(row, issuers)),
  ])
  const checks = [
    ownership,
    ...findings.map(checkOf),
    certificateCheck(shown),
    liveCheck(shown, standing),
    probeCheck(shown),
  ]
  return { ok: checks.every(({ status }) => status !== 'problem' && status !== 'waiting'), checks }
}

function checkOf({ code, status, detail, fix }: Finding): DiagnosisCheck {
  return { code, status, detail, ...(fix === undefined ? {} : { fix }) }
}

async function ownershipCheck(dialler: Dialler, row: HostnameRow, shown: HostnameView): Promise<DiagnosisCheck> {
  const code = 'OWNERSHIP'
  const { state, problem, instructions } = shown.ownership
  if (state === 'verified' && problem === undefined) return { code, status: 'ok', detail: 'The name is proven.' }
  const [first] = instructions
  const fix =
    first === undefined ? {} : { fix: `Create the record ${first.type} ${first.name} with the value "${first.value}".` }
  if (state === 'verified') return { code, status: 'problem', detail: problem?.detail ?? '', ...fix }
  const misplaced = await misplacedRecord(dialler, row)
  if (misplaced !== null) return { code, status: 'problem', detail: misplaced, ...fix }
  const detail = problem?.detail ?? 'The name has not been checked yet.'
  if (state === 'disputed' || state === 'released') return { code, status: 'problem', detail }
  return { code, status: problem?.code === 'TXT_OTHER_VALUE' ? 'problem' : 'waiting', detail, ...fix }
}

/** The two usual slips: the value at the name itself, and a zone name that the DNS panel added a second time. */
async function misplacedRecord(dialler: Dialler, row: HostnameRow): Promise<string | null> {
  const { base, registrable } = claimOf(row.name, row.domain.name)
  const value = proofValue(row.domain.token)
  const places = [...new Set([base, registrable])].flatMap((name) => [name, `${challengeName(name)}.${registrable}`])
  const results = await Promise.all(places.map((place) => (place.length > 253 ? null : dialler.lookupTxt(place))))
  const place = places.find((_, index) => holds(results[index], value))
  if (place === undefined) return null
  const isDoubled = place.endsWith(`.${registrable}.${registrable}`)
  return isDoubled
    ? `The value is there, but at ${place}: your DNS panel adds "${registrable}" by itself. Leave it out of the record's name.`
    : `The value is there, but at ${place} itself. Put it at ${challengeName(place)}.`
}

function holds(result: LookupResult | null | undefined, value: string): boolean {
  return result?.kind === 'found' && result.values.some((text) => text.trim() === value)
}

function certificateCheck({ certificate }: HostnameView): DiagnosisCheck {
  const code = 'CERTIFICATE'
  const { state, notAfter, problem } = certificate
  if (state === 'valid' || (state === 'renewing' && problem === undefined))
    return {
      code,
      status: 'ok',
      detail: `There is a certificate, valid until ${notAfter?.slice(0, 10) ?? 'later'}; it is renewed by itself.`,
    }
  if (problem !== undefined) return { code, status: 'problem', detail: problem.detail }
  if (state === 'wanted' || state === 'ordering')
    return {
      code,
      status: 'waiting',
      detail: 'A certificate is ordered as soon as the name is proven; that takes seconds.',
    }
  return { code, status: 'problem', detail: `The certificate is ${state}.` }
}

function liveCheck(shown: HostnameView, { liveEdges, refusals }: EdgeStanding): DiagnosisCheck {
  const code = 'LIVE'
  if (shown.live) return { code, status: 'ok', detail: 'Every edge serves the name with this certificate.' }
  if (liveEdges === 0)
    return {
      code,
      status: 'problem',
      detail: 'No edge is connected right now. What it served last, it goes on serving.',
    }
  const [refusal] = refusals
  if (refusal !== undefined)
    return {
      code,
      status: 'problem',
      detail: `The edge "${refusal.edge}" does not serve it yet: ${refusal.reason ?? 'it waits for content'}.`,
    }
  return {
    code,
    status: 'waiting',
    detail: 'Not every edge has confirmed it yet. This comes after proof and certificate.',
  }
}
