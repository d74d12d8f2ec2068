import { isIP, SocketAddress } from 'node:net'
import type { Db } from '../db.ts'
import type { Dialler } from '../outbound/dialler.ts'
import type { LookupResult } from '../outbound/resolver.ts'
import { dedicatedAddresses, type EdgeStanding, edgeStanding } from './diagnosis-store.ts'
import type { HostnameRow } from './hostname-store.ts'
import { probeCheck } from './probe-view.ts'
import { challengeName, claimOf, proofValue } from './proof.ts'
import type { Diagnosis, DiagnosisCheck, HostnameView } from './schema.ts'
import { wanted } from './view.ts'

/** Where tenants are told to point their names. */
export type PublicTargets = { readonly publicAddresses: readonly string[]; readonly cnameTarget: string | null }

/** What a diagnosis needs. */
export type DiagnosisDeps = { readonly dialler: Dialler; readonly publicTargets: () => Promise<PublicTargets> }

/** Stands for any label where a wildcard is looked up. */
const PROBE_LABEL = 'nameplate-check'

/**
 * What stands between a hostname and its visitors, looked at now: ownership, where the name leads,
 * certificate, edges. Takes as long as the DNS takes, some seconds at most. Never throws for what it finds.
 */
export async function diagnose(deps: DiagnosisDeps, db: Db, row: HostnameRow, shown: HostnameView): Promise<Diagnosis> {
  const host = row.name.replace(/^\*/, PROBE_LABEL)
  const [targets, own, standing, ownership, a, aaaa] = await Promise.all([
    deps.publicTargets(),
    dedicatedAddresses(db, row.siteId),
    edgeStanding(db, wanted(row)),
    ownershipCheck(deps.dialler, row, shown),
    deps.dialler.lookupA(host),
    deps.dialler.lookupAaaa(host),
  ])
  const right = [...targets.publicAddresses, ...own]
  const checks = [
    ownership,
    addressCheck(4, host, a, right, targets.cnameTarget),
    addressCheck(6, host, aaaa, right, targets.cnameTarget),
    certificateCheck(shown),
    liveCheck(shown, standing),
    probeCheck(shown),
  ]
  return { ok: checks.every(({ status }) => status === 'ok' || status === 'unknown'), checks }
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

function addressCheck(
  family: 4 | 6,
  host: string,
  result: LookupResult,
  right: readonly string[],
  cnameTarget: string | null,
): DiagnosisCheck {
  const code = `ADDRESS_V${family}`
  const type = family === 4 ? 'A' : 'AAAA'
  const expected = right.filter((address) => isIP(address) === family)
  if (result.kind === 'unanswered') return { code, status: 'unknown', detail: `${type} of ${host}: ${result.reason}.` }
  const found = result.kind === 'found' ? result.values : []
  if (right.length === 0)
    return {
      code,
      status: 'unknown',
      detail: `${leads(host, type, found)} Which addresses are right is not set up here.`,
    }
  if (found.length === 0 && (family === 6 || expected.length === 0))
    return { code, status: 'ok', detail: leads(host, type, found) }
  const strange = found.filter((address) => !expected.some((one) => canonical(one) === canonical(address)))
  if (found.length > 0 && strange.length === 0) return { code, status: 'ok', detail: leads(host, type, found) }
  return {
    code,
    status: 'problem',
    detail: leads(host, type, found),
    fix: addressFix(type, strange, expected, cnameTarget),
  }
}

function addressFix(
  type: string,
  strange: readonly string[],
  expected: readonly string[],
  cnameTarget: string | null,
): string {
  const remove =
    strange.length === 0
      ? ''
      : `Remove the ${type} record ${strange.join(', ')}: visitors and the CA go there instead. `
  const cname = cnameTarget === null ? '' : `, or a CNAME to ${cnameTarget}`
  const add = expected.length === 0 ? '' : `Create the ${type} record ${expected.join(' or ')}${cname}.`
  return `${remove}${add}`.trim()
}

function leads(host: string, type: string, found: readonly string[]): string {
  return found.length === 0 ? `${host} has no ${type} record.` : `${host} leads to ${found.join(', ')}.`
}

function canonical(address: string): string {
  return new SocketAddress({ address, family: isIP(address) === 6 ? 'ipv6' : 'ipv4' }).address
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
