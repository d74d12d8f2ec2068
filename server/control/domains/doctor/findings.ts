import { AppError } from '../../errors.ts'
import { claimableName } from '../name-rules.ts'
import { addressFindings } from './addresses.ts'
import { judgeIssuers } from './caa-findings.ts'
import { cdnOfAddress, cdnOfAlias } from './cdn.ts'
import { dnssecFinding } from './dnssec.ts'
import { addressMethods, allMethods, type Finding, note, type ProofMethod, problem } from './finding.ts'
import type { DoctorIssuer, Observation } from './observation.ts'
import { portFindings } from './port-findings.ts'
import { routeFindings } from './route-findings.ts'

/** Beyond this, the CA's nonces, orders and the dates of certificates do not fit our clock. */
const MAX_SKEW_MS = 5 * 60_000
/** Let's Encrypt and others refuse names with more. */
const MAX_LABELS = 10

/** Findings, and which issuers may be asked in which ways as far as CAA says. */
export type Judgement = {
  readonly findings: readonly Finding[]
  readonly permitted: readonly { readonly id: string; readonly methods: readonly ProofMethod[] }[]
}

/** All findings for one name, the gravest kinds first. Pure. */
export function judge(seen: Observation, issuers: readonly DoctorIssuer[]): Judgement {
  const caa = judgeIssuers(seen, issuers)
  const findings = [
    nameFinding(seen.name),
    clockFinding(seen.clockSkewMs),
    dnssecFinding(seen.host, seen.dnssec),
    caa.finding,
    ...routeFindings(seen),
    ...addressFindings(seen),
    ...portFindings(seen),
    cdnFinding(seen),
  ].filter((finding) => finding !== null)
  return { findings, permitted: caa.permitted }
}

/**
 * The finding for which a first order would fail for sure: no issuer is permitted, or each way of proof that a
 * permitted issuer offers is barred. Null when any way is left, or nothing is known. A wildcard is proven in
 * DNS alone. Pure.
 */
export function blockingFinding(
  { findings, permitted }: Judgement,
  name: string,
  issuers: readonly DoctorIssuer[],
): Finding | null {
  const offered = permitted.flatMap(({ methods }) => methods)
  const mentioned = offered.length > 0 ? offered : allMethods
  const usable = name.startsWith('*.') ? mentioned.filter((method) => !addressMethods.includes(method)) : mentioned
  const ways = usable.length > 0 ? usable : allMethods.filter((method) => !addressMethods.includes(method))
  const barring = findings.filter(
    ({ status, blocks }) => status === 'problem' && ways.some((way) => blocks.includes(way)),
  )
  if (issuers.length > 0 && permitted.length === 0) return barring[0] ?? null
  const isBarred = ways.every((way) => barring.some(({ blocks }) => blocks.includes(way)))
  return isBarred ? (barring[0] ?? null) : null
}

/** Why no public CA would issue for the name, or null. Names of an earlier version may be here. */
function nameFinding(name: string): Finding | null {
  try {
    claimableName(name, [])
  } catch (error) {
    if (!(error instanceof AppError)) throw error
    return problem('NAME_NOT_ISSUABLE', allMethods, error.detail, 'Remove this hostname and add another name.')
  }
  const labels = name.split('.').length
  if (labels <= MAX_LABELS) return null
  return note(
    'NAME_NOT_ISSUABLE',
    'warning',
    `The name has ${labels} parts between dots; many CAs issue for at most ${MAX_LABELS}.`,
    'Use a shorter name.',
  )
}

function clockFinding(skewMs: number | null): Finding | null {
  if (skewMs === null || Math.abs(skewMs) <= MAX_SKEW_MS) return null
  const minutes = Math.round(Math.abs(skewMs) / 60_000)
  return problem(
    'CLOCK_SKEW',
    [],
    `The clock of this machine is ${minutes} minutes ${skewMs > 0 ? 'behind' : 'ahead of'} that of the CA.`,
    'An administrator must set the clock (timedatectl set-ntp true).',
  )
}

/** A CDN that passes requests on does no harm to a renewal; the first proof mostly fails behind it. */
function cdnFinding({ route, probes }: Observation): Finding | null {
  const addresses = [route.v4, route.v6].flatMap((lookup) => (lookup.kind === 'found' ? lookup.addresses : []))
  const cdn =
    [
      ...route.chain.slice(1).map(cdnOfAlias),
      ...addresses.map(cdnOfAddress),
      ...(probes ?? []).map((probe) => probe.cdn),
    ].find((name) => name !== null) ?? null
  if (cdn === null) return null
  const isPassed = (probes ?? []).some(({ result }) => result.kind === 'ours')
  return note(
    'CDN_IN_FRONT',
    'warning',
    `${cdn} stands in front of the name${isPassed ? ' and passes requests on to us' : ''}.`,
    isPassed
      ? `Keep it so that ${cdn} passes requests for /.well-known/acme-challenge/ on unchanged and uncached, and connects to us by HTTPS with the certificate checked ("strict").`
      : `Switch the proxy of ${cdn} off for this name until the certificate is there (at Cloudflare: "DNS only"), or let it pass requests for /.well-known/acme-challenge/ on to us by plain HTTP, unchanged and uncached.`,
  )
}
