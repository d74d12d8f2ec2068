import { httpChallengePath } from '../../../contract/challenge-answer.ts'
import { decisiveProbe, isOurs } from './addresses.ts'
import { type Finding, note, type ProofMethod, problem, shown } from './finding.ts'
import type { Observation, PortProbe } from './observation.ts'

type Group = 'unreachable' | 'redirect' | 'other'
const http: readonly ProofMethod[] = ['http-01']

/** What answers on port 80 where the name leads. */
export function portFindings(seen: Observation): Finding[] {
  const { probes } = seen
  if (seen.name.startsWith('*.')) return []
  if (probes === null)
    return [note('PORT_80', 'unknown', 'Port 80 was not tried: an administrator has switched that off.')]
  if (probes.length === 0) return []
  const groups = (['unreachable', 'redirect', 'other'] as const).flatMap((group) => {
    const some = probes.filter(({ result }) => result.kind === group)
    return some.length === 0 ? [] : [finding(seen, group, some)]
  })
  return groups.length > 0 ? groups : [fine(probes)]
}

function fine(probes: readonly PortProbe[]): Finding {
  const unknown = probes.flatMap(({ address, result }) =>
    result.kind === 'unknown' ? [`${address}: ${result.reason}`] : [],
  )
  if (unknown.length === probes.length)
    return note('PORT_80', 'unknown', `Port 80 could not be tried from here: ${unknown.join('; ')}.`)
  const addresses = probes.filter(({ result }) => result.kind === 'ours').map(({ address }) => address)
  return note('PORT_80', 'ok', `Requests to port 80 of ${addresses.join(' and ')} reach us.`)
}

function finding(seen: Observation, group: Group, probes: readonly PortProbe[]): Finding {
  const decisive = decisiveProbe(seen)
  const isDecisive = decisive !== null && probes.includes(decisive)
  if (group === 'unreachable') return unreachable(probes)
  return group === 'redirect' ? redirects(seen, probes, isDecisive) : others(seen, probes, isDecisive)
}

/** Never blocks: a machine behind NAT often cannot reach its own public address. */
function unreachable(probes: readonly PortProbe[]): Finding {
  const list = listed(probes, ({ result }) => (result.kind === 'unreachable' ? result.reason : ''))
  return problem(
    'PORT_80_UNREACHABLE',
    [],
    `Port 80 does not answer: ${list}. The CA asks there.`,
    'Let TCP port 80 through firewalls and routers to this machine. (An administrator whose machine cannot reach its own public address may switch this test off: setting doctor.httpProbe.)',
  )
}

/** A redirect to HTTPS of the same name is followed by the CA and may end here; all others do not. */
function redirects(seen: Observation, probes: readonly PortProbe[], isDecisive: boolean): Finding {
  const list = listed(probes, ({ result }) => (result.kind === 'redirect' ? `to ${shown(result.location)}` : ''))
  const detail = `Requests for ${httpChallengePath} are redirected before they reach us: ${list}.`
  const fix = `Exclude ${httpChallengePath} from the redirect, at the server or CDN in front.`
  if (probes.every((probe) => isSameHostHttps(probe, seen.host)))
    return note(
      'PORT_80_REDIRECTS',
      'warning',
      `${detail} The CA follows it, and what answers there must pass it on.`,
      fix,
    )
  return problem('PORT_80_REDIRECTS', isDecisive ? http : [], detail, fix)
}

function others(seen: Observation, probes: readonly PortProbe[], isDecisive: boolean): Finding {
  const list = listed(probes, ({ result }) =>
    result.kind === 'other'
      ? `status ${result.status}${result.server === null ? '' : ` of "${shown(result.server)}"`}`
      : '',
  )
  const detail = `Another server answers on port 80: ${list}.`
  // A listener of an earlier version answers 404 without the mark.
  const isMaybeOurs = probes.every(
    ({ address, result }) => isOurs(address, seen.right) && result.kind === 'other' && result.status === 404,
  )
  if (isMaybeOurs)
    return note(
      'PORT_80_OTHER_SERVER',
      'warning',
      `${detail} The address is right; it may be a listener that is not upgraded yet.`,
    )
  return problem(
    'PORT_80_OTHER_SERVER',
    isDecisive ? http : [],
    detail,
    'Let the name lead here, or let that server pass requests for /.well-known/acme-challenge/ on to us with the Host field as it is.',
  )
}

function listed(probes: readonly PortProbe[], text: (probe: PortProbe) => string): string {
  return probes.map((probe) => `${probe.address}: ${text(probe)}`).join('; ')
}

function isSameHostHttps({ result }: PortProbe, host: string): boolean {
  if (result.kind !== 'redirect' || !URL.canParse(result.location, `http://${host}/`)) return false
  const { protocol, hostname, port } = new URL(result.location, `http://${host}/`)
  return protocol === 'https:' && hostname === host && port === ''
}
