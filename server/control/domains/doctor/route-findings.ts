import { addressMethods, type Finding, note, problem } from './finding.ts'
import type { AddressLookup, Observation, ServerView } from './observation.ts'
import { addressFix } from './records.ts'
import { MAX_ALIASES } from './route.ts'

/** Servers that are named in one sentence. */
const SHOWN = 4

/** What is wrong on the way to the addresses: aliases that end nowhere, name servers. */
export function routeFindings(seen: Observation): Finding[] {
  return [aliasFinding(seen), disagreeing(seen), silent(seen)].filter((finding) => finding !== null)
}

function aliasFinding(seen: Observation): Finding | null {
  const { chain, end } = seen.route
  const fix = addressFix(seen, 4, [])
  if (end === 'loop')
    return problem('CNAME_LOOP', addressMethods, `The aliases (CNAME) go round in a circle: ${chain.join(', ')}.`, fix)
  if (end === 'too-long')
    return problem(
      'CNAME_TOO_LONG',
      addressMethods,
      `${seen.host} goes through more than ${MAX_ALIASES} aliases (CNAME): ${chain.slice(0, SHOWN).join(', ')} and so on. Resolvers give up on the way.`,
      fix,
    )
  return null
}

/** The same question, another answer: a change that has not reached every server, or a server that was forgotten. */
function disagreeing({ route, host }: Observation): Finding | null {
  const differing = route.aliasDisagreement ?? viewsDiffer(route.views)
  if (differing === null) return null
  return note(
    'NAME_SERVERS_DISAGREE',
    'warning',
    `The name servers of ${route.zone ?? host} do not say the same. ${differing} Who asks gets one answer or the other.`,
    'After a change wait until every name server has it (the refresh time of the SOA record). If that does not help, the zone is kept at two DNS providers: correct it at both, or remove the NS records of the one that is not used.',
  )
}

function viewsDiffer(views: readonly ServerView[]): string | null {
  const said = views
    .filter(({ v4, v6 }) => v4.kind !== 'unanswered' && v6.kind !== 'unanswered')
    .map((view) => [view.server, [...values(view.v4), ...values(view.v6)].join(', ') || 'no address'] as const)
  if (new Set(said.map(([, text]) => text)).size < 2) return null
  return `${said
    .slice(0, SHOWN)
    .map(([server, text]) => `${server}: ${text}`)
    .join('; ')}.`
}

function silent({ route }: Observation): Finding | null {
  const [first] = route.unreachable
  if (first === undefined) return null
  const list = route.unreachable
    .slice(0, SHOWN)
    .map(({ zone, server, reason }) => `${server} (of ${zone}): ${reason}`)
    .join('; ')
  // None at all is more likely our way out than theirs.
  if (route.isByResolver && route.v4.kind !== 'unanswered')
    return note(
      'NAME_SERVERS_UNREACHABLE',
      'unknown',
      `No name server could be asked directly: ${list}. What is said here is what the resolver says.`,
    )
  return note(
    'NAME_SERVERS_UNREACHABLE',
    'warning',
    `Not every name server answers: ${list}. Lookups by visitors and CAs are slow or fail at times.`,
    `Repair that server, or remove its NS record from the zone and from the delegation at the registrar: "${first.zone}. NS ${first.server}.".`,
  )
}

function values(lookup: AddressLookup): readonly string[] {
  return lookup.kind === 'found' ? lookup.addresses : []
}
