import { isIP, SocketAddress } from 'node:net'
import { cdnOfAddress } from './cdn.ts'
import { addressMethods, type Finding, note, type ProofMethod, problem } from './finding.ts'
import type { AddressLookup, Observation, PortProbe, RightPlaces } from './observation.ts'
import { addressFix } from './records.ts'

/**
 * How one family stands. wrong: every address is somebody else's, as far as can be seen; mixed: some are,
 * or some name servers say so; passed-on: somebody else's, but requests reach us; unclear: behind a CDN that
 * may pass requests on, or not looked up.
 */
type FamilyState = 'right' | 'wrong' | 'mixed' | 'passed-on' | 'unclear' | 'absent'

/** The states of both families; null when nothing is known of where a name should lead. */
function familyStates(seen: Observation): States | null {
  if (seen.right.addresses.length === 0) return null
  return { v4: familyState(seen, 4), v6: familyState(seen, 6) }
}

/** A and AAAA compared with where they should lead. Empty when the name has no end (a loop). */
export function addressFindings(seen: Observation): Finding[] {
  const { route } = seen
  if (route.end !== 'addresses') return []
  if (route.v4.kind === 'absent' && route.v6.kind === 'absent') return [missing(seen)]
  const states = familyStates(seen)
  return [familyFinding(seen, states, 4), familyFinding(seen, states, 6)]
}

/** Whether an address is one of those where the name should lead, however it is written. */
export function isOurs(address: string, right: RightPlaces): boolean {
  const own = canonical(address)
  return right.addresses.some((one) => canonical(one) === own)
}

/**
 * The probe that decides what the CA gets: IPv6 is taken where there is an AAAA record, and IPv4 where nothing
 * can be reached there (RFC 6555; Let's Encrypt's "IPv6 support"). Null when that was not seen.
 */
export function decisiveProbe({ route, probes }: Observation): PortProbe | null {
  const of = (family: 4 | 6): PortProbe | null => probes?.find((probe) => probe.family === family) ?? null
  if (route.v6.kind === 'unanswered') return null
  if (route.v6.kind === 'absent') return of(4)
  const six = of(6)
  return six?.result.kind === 'unreachable' && route.v4.kind === 'found' ? of(4) : six
}

type States = { readonly v4: FamilyState; readonly v6: FamilyState }

function familyFinding(seen: Observation, states: States | null, family: 4 | 6): Finding {
  const lookup = family === 4 ? seen.route.v4 : seen.route.v6
  const code = `ADDRESS_V${family}` as const
  const what = leads(seen, family)
  if (lookup.kind === 'unanswered')
    return note(code, 'unknown', `${typeOf(family)} of ${seen.host}: ${lookup.reason}.${source(seen)}`)
  if (states === null) return note(code, 'unknown', `${what} Which addresses are right is not set up here.`)
  if (lookup.kind === 'absent') return absent(seen, family)
  const state = family === 4 ? states.v4 : states.v6
  if (state === 'right') return note(code, 'ok', `${what}${source(seen)}`)
  return strangeFinding(seen, states, family, strangeOf(lookup, seen.right))
}

/** A stray AAAA has a code of its own: it is overlooked most, and CAs and visitors take it first. */
function strangeFinding(seen: Observation, states: States, family: 4 | 6, strange: readonly string[]): Finding {
  const state = family === 4 ? states.v4 : states.v6
  const code = family === 4 ? 'ADDRESS_V4' : 'STRAY_AAAA'
  const what = leads(seen, family)
  if (state === 'passed-on')
    return note(code, 'warning', `${what} That is not ours, but what answers there passes requests on to us.`)
  if (state === 'unclear') return note(code, 'warning', `${what} That is a CDN, which may pass requests on to us.`)
  const fix = addressFix(seen, family, strange)
  return problem(code, blocked(seen, states, family), `${what}${whose(state)}${source(seen)}`, fix)
}

function familyState({ route, right, probes }: Observation, family: 4 | 6): FamilyState {
  const lookup = family === 4 ? route.v4 : route.v6
  if (lookup.kind !== 'found') return lookup.kind === 'absent' ? 'absent' : 'unclear'
  const strange = strangeOf(lookup, right)
  if (strange.length === 0) return 'right'
  const probe = probes?.find((one) => one.family === family)?.result.kind
  if (probe === 'ours') return 'passed-on'
  if (strange.length < lookup.addresses.length) return 'mixed'
  const hasAnswer = probe === 'other' || probe === 'redirect'
  return !hasAnswer && strange.some((address) => cdnOfAddress(address) !== null) ? 'unclear' : 'wrong'
}

/** Only where no address that the CA may choose leads to us. */
function blocked(seen: Observation, { v4, v6 }: States, family: 4 | 6): readonly ProofMethod[] {
  const other = family === 4 ? v6 : v4
  const own = family === 4 ? v4 : v6
  if (own !== 'wrong') return []
  if (other === 'wrong' || other === 'absent') return addressMethods
  // A server at the stray AAAA answers the CA, which does not ask the IPv4 address then.
  const answer = decisiveProbe(seen)
  return family === 6 &&
    answer?.family === 6 &&
    answer.result.kind !== 'unreachable' &&
    answer.result.kind !== 'unknown'
    ? addressMethods
    : []
}

function missing(seen: Observation): Finding {
  const { chain } = seen.route
  const end = chain.at(-1) ?? seen.host
  const fix = addressFix(seen, 4, [])
  if (chain.length > 1)
    return problem(
      'CNAME_DANGLING',
      addressMethods,
      `${seen.host} is an alias (CNAME) of ${end}, which has no address.${source(seen)}`,
      fix,
    )
  return problem(
    'NAME_MISSING',
    addressMethods,
    `${seen.host} has neither an A nor an AAAA record.${source(seen)}`,
    fix,
  )
}

/** No AAAA is fine. No A is not where we have an IPv4 address: most visitors use it. */
function absent(seen: Observation, family: 4 | 6): Finding {
  const code = `ADDRESS_V${family}` as const
  const isExpected = family === 4 && seen.right.addresses.some((address) => isIP(address) === 4)
  if (!isExpected) return note(code, 'ok', leads(seen, family))
  return problem(code, [], `${leads(seen, family)} Visitors with IPv4 alone cannot reach it.`, addressFix(seen, 4, []))
}

function strangeOf(lookup: AddressLookup & { kind: 'found' }, right: RightPlaces): string[] {
  return lookup.addresses.filter((address) => !isOurs(address, right))
}

function leads({ host, route }: Observation, family: 4 | 6): string {
  const lookup = family === 4 ? route.v4 : route.v6
  const aliases = route.chain.slice(1)
  const way = aliases.length === 0 ? '' : ` by way of ${aliases.join(', ')}`
  return lookup.kind === 'found'
    ? `${host} leads to ${lookup.addresses.slice(0, 8).join(', ')}${way}.`
    : `${host} has no ${typeOf(family)} record.`
}

function whose(state: FamilyState): string {
  if (state === 'mixed') return ' Not all of these are ours: some visitors, and the CA at times, go elsewhere.'
  return ' That is not ours: visitors and the CA go there instead.'
}

function source({ route }: Observation): string {
  return route.isByResolver && route.unreachable.length > 0
    ? ' (This is what the resolver says: the name servers of the zone could not be asked.)'
    : ''
}

function typeOf(family: 4 | 6): 'A' | 'AAAA' {
  return family === 4 ? 'A' : 'AAAA'
}

function canonical(address: string): string {
  return new SocketAddress({ address, family: isIP(address) === 6 ? 'ipv6' : 'ipv4' }).address
}
