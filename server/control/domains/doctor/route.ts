import type { DnsReply } from '../../outbound/dns-query.ts'
import type { Asker } from './asker.ts'
import type { AddressLookup, Route, ServerView } from './observation.ts'
import { findZone, type NameServer, referredZone, type Zone } from './zone.ts'

/** Aliases that are followed: resolvers give up at about as many (Unbound at 11, BIND at 16). */
export const MAX_ALIASES = 10
/** Referrals from one zone to the next below. */
const MAX_REFERRALS = 4

/** Aliases from the name asked for, in order, and what is at the end of them. */
type Answer = { readonly path: readonly string[]; readonly lookup: AddressLookup }
type Said = { readonly server: string; readonly v4: Answer; readonly v6: Answer }
type Silent = Route['unreachable'][number]

/**
 * Follows a name to its addresses, A and AAAA each asked of every name server of the zone of each name on the
 * way; the resolver is asked where none of them can be reached.
 */
export async function followRoute(asker: Asker, host: string): Promise<Route> {
  const chain = [host]
  const unreachable: Silent[] = []
  let zoneOfHost: string | null = null
  let aliasDisagreement: string | null = null
  for (;;) {
    const current = chain.at(-1) ?? host
    const { zone, said, silent } = await askZone(asker, current)
    if (chain.length === 1) zoneOfHost = zone
    unreachable.push(...silent)
    const rest = { zone: zoneOfHost, unreachable, aliasDisagreement }
    const [first] = said
    if (first === undefined) return byResolver(asker, chain, rest)
    const path = [first.v4.path, first.v6.path].find((one) => one.length > 0) ?? []
    aliasDisagreement ??= disagreement(current, said)
    const end = extend(chain, path)
    if (end !== null) return { chain, end, ...nowhere, ...rest, aliasDisagreement, views: [], isByResolver: false }
    const views = said.map(({ server, v4, v6 }) => ({ server, v4: v4.lookup, v6: v6.lookup }))
    const isThere = views.some(({ v4, v6 }) => v4.kind === 'found' || v6.kind === 'found')
    // An alias that leads out of the zone is followed there; one that ends inside is at its end.
    if (path.length === 0 || isThere)
      return { chain, end: 'addresses', ...together(views), ...rest, aliasDisagreement, views, isByResolver: false }
  }
}

const nowhere = { v4: { kind: 'absent' }, v6: { kind: 'absent' } } as const

/** Adds the path to the chain; says why it does not end, or null. */
function extend(chain: string[], path: readonly string[]): 'loop' | 'too-long' | null {
  for (const name of path) {
    if (chain.includes(name)) {
      chain.push(name)
      return 'loop'
    }
    chain.push(name)
    if (chain.length > MAX_ALIASES + 1) return 'too-long'
  }
  return null
}

async function askZone(
  asker: Asker,
  name: string,
): Promise<{ zone: string | null; said: readonly Said[]; silent: readonly Silent[] }> {
  let zone = await findZone(asker, name)
  for (let referrals = 0; zone !== null; referrals++) {
    const top = zone.name
    const asked = await Promise.all(zone.servers.map((server) => askServer(asker, server, name)))
    const below: Zone | null = referrals < MAX_REFERRALS ? await belowOf(asker, zone, name, asked) : null
    if (below === null) {
      const silent = asked.flatMap(({ server, failure }) =>
        failure === null ? [] : [{ zone: top, server: server.host, reason: failure }],
      )
      const homeless = zone.homeless.map((server) => ({ zone: top, server, reason: 'it has no address' }))
      return { zone: top, said: asked.flatMap(({ said }) => said ?? []), silent: [...silent, ...homeless] }
    }
    zone = below
  }
  return { zone: null, said: [], silent: [] }
}

type Asked = {
  readonly server: NameServer
  readonly reply: DnsReply
  readonly said: Said | null
  /** Why it gave nothing usable, else null. */
  readonly failure: string | null
}

async function askServer(asker: Asker, server: NameServer, name: string): Promise<Asked> {
  const [a, aaaa] = await Promise.all([
    asker.server(server.address, name, 'A'),
    asker.server(server.address, name, 'AAAA'),
  ])
  const failure = failureOf(a) ?? failureOf(aaaa)
  // One that answers for A alone (RFC 4074) says something of A.
  if (failureOf(a) !== null && failureOf(aaaa) !== null) return { server, reply: a, said: null, failure }
  const said = { server: server.host, v4: readAnswer(a, name, 'A'), v6: readAnswer(aaaa, name, 'AAAA') }
  return { server, reply: a, said, failure }
}

async function belowOf(asker: Asker, zone: Zone, name: string, asked: readonly Asked[]): Promise<Zone | null> {
  if (asked.some(({ said }) => said !== null)) return null
  for (const { reply } of asked) {
    const below = await referredZone(asker, zone, name, reply)
    if (below !== null) return below
  }
  return null
}

/** Why a name server's reply does not count, or null: only an authoritative answer does. */
function failureOf(reply: DnsReply): string | null {
  if (reply.kind === 'none') return reply.reason
  if (reply.code !== 'NOERROR' && reply.code !== 'NXDOMAIN') return `it answers with ${reply.code}`
  return reply.isAuthoritative ? null : 'it does not answer for the zone (a lame delegation)'
}

/** Walks the aliases within one reply. */
function readAnswer(reply: DnsReply, name: string, type: 'A' | 'AAAA'): Answer {
  if (reply.kind === 'none') return { path: [], lookup: { kind: 'unanswered', reason: reply.reason } }
  if (reply.code !== 'NOERROR' && reply.code !== 'NXDOMAIN')
    return { path: [], lookup: { kind: 'unanswered', reason: failureReason(reply) } }
  const path: string[] = []
  let current = name
  for (;;) {
    const alias = reply.answers.find((record) => record.type === 'CNAME' && record.name === current)
    if (alias === undefined) break
    path.push(alias.value)
    if (path.length > MAX_ALIASES + 1 || path.indexOf(alias.value) < path.length - 1 || alias.value === name) break
    current = alias.value
  }
  const addresses = reply.answers.filter((record) => record.type === type && record.name === current)
  if (addresses.length === 0) return { path, lookup: { kind: 'absent' } }
  return { path, lookup: { kind: 'found', addresses: addresses.map(({ value }) => value).sort() } }
}

function failureReason(reply: DnsReply & { kind: 'reply' }): string {
  const why = reply.extendedError === null ? '' : ` (${reply.extendedError})`
  return `the name servers answered with ${reply.code}${why}`
}

async function byResolver(
  asker: Asker,
  chain: string[],
  rest: Pick<Route, 'zone' | 'unreachable' | 'aliasDisagreement'>,
): Promise<Route> {
  const name = chain.at(-1) ?? ''
  const [a, aaaa] = await Promise.all([asker.resolver(name, 'A'), asker.resolver(name, 'AAAA')])
  const v4 = readAnswer(a, name, 'A')
  const v6 = readAnswer(aaaa, name, 'AAAA')
  const end = extend(chain, v4.path.length > 0 ? v4.path : v6.path) ?? 'addresses'
  return { chain, end, v4: v4.lookup, v6: v6.lookup, views: [], ...rest, isByResolver: true }
}

/** What all name servers say together: addresses if one has any, absent if one is sure. */
function together(views: readonly ServerView[]): { v4: AddressLookup; v6: AddressLookup } {
  return { v4: union(views.map(({ v4 }) => v4)), v6: union(views.map(({ v6 }) => v6)) }
}

function union(lookups: readonly AddressLookup[]): AddressLookup {
  const addresses = lookups.flatMap((lookup) => (lookup.kind === 'found' ? lookup.addresses : []))
  if (addresses.length > 0) return { kind: 'found', addresses: [...new Set(addresses)].sort() }
  return (
    lookups.find(({ kind }) => kind === 'absent') ?? lookups[0] ?? { kind: 'unanswered', reason: 'nobody was asked' }
  )
}

function disagreement(name: string, said: readonly Said[]): string | null {
  const targets = new Map(said.map(({ server, v4, v6 }) => [server, v4.path[0] ?? v6.path[0] ?? 'no alias']))
  if (new Set(targets.values()).size < 2) return null
  const list = [...targets].map(([server, target]) => `${server}: ${target}`).join('; ')
  return `The alias (CNAME) of ${name} differs: ${list}.`
}
