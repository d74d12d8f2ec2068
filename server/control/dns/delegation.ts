import { eachLimited } from '../jobs/limit.ts'
import type { Ask, NameServer } from './ask.ts'
import { type ReadMessage, types } from './dns-message.ts'
import { DnsProviderError } from './provider.ts'

/** CNAMEs that are followed; Let's Encrypt follows as many. */
const MAX_ALIASES = 8
/** Name servers of a zone that are looked at. */
const MAX_SERVERS = 13
const LOOKUPS_AT_ONCE = 4

/** A zone as the world sees it. */
export type Zone = { readonly name: string; readonly servers: readonly NameServer[] }

/** Where a challenge for a name really has to be written. */
export type Delegation = {
  /** `_acme-challenge.<name>`, then each name that an alias led to. */
  readonly chain: readonly string[]
  /** The last of `chain`. */
  readonly fqdn: string
  /** The zone of `fqdn`. */
  readonly zone: Zone
}

/** The name at which a CA looks for dns-01 (RFC 8555 section 8.4); a wildcard shares it with its parent. */
export function challengeName(name: string): string {
  return `_acme-challenge.${name.replace(/^\*\./, '')}`
}

/**
 * Follows the CNAMEs at `_acme-challenge.<name>`, each asked of the servers of its own zone, so that
 * nothing that a resolver remembers is in the way. Throws `DnsProviderError` with the code `lookup`.
 */
export async function followDelegation(ask: Ask, name: string, signal: AbortSignal): Promise<Delegation> {
  const chain = [challengeName(name)]
  for (;;) {
    const fqdn = chain.at(-1) ?? ''
    const zone = await findZone(ask, fqdn, signal)
    const alias = await aliasOf(ask, zone, fqdn, signal)
    if (alias === null) return { chain, fqdn, zone }
    if (chain.includes(alias)) throw lookupProblem(`the CNAME at ${fqdn} leads back to ${alias}. Remove the loop`)
    chain.push(alias)
    if (chain.length > MAX_ALIASES) throw lookupProblem(`${chain[0]} leads over more than ${MAX_ALIASES} CNAMEs`)
  }
}

/** The zone that a name is in: the nearest name upwards that has a SOA record (RFC 1034 section 4.2). */
export async function findZone(ask: Ask, fqdn: string, signal: AbortSignal): Promise<Zone> {
  const apex = await findApex(ask, fqdn, signal)
  const answer = await asked(ask.resolver(apex, types.NS, signal), apex)
  const hosts = [...new Set(answer.answers.flatMap((record) => (isAt(record, apex, types.NS) ? record.target : null)))]
  const named = hosts.filter((host) => host !== null).slice(0, MAX_SERVERS)
  if (named.length === 0) throw lookupProblem(`the zone ${apex} has no name servers (NS)`)
  const servers: NameServer[] = []
  await eachLimited(named, LOOKUPS_AT_ONCE, async (host) => {
    servers.push(await ask.nameServer(host))
  })
  return { name: apex, servers: servers.toSorted((a, b) => (a.host < b.host ? -1 : 1)) }
}

async function findApex(ask: Ask, fqdn: string, signal: AbortSignal): Promise<string> {
  let candidate = fqdn
  while (candidate !== '') {
    const { answers, authorities } = await asked(ask.resolver(candidate, types.SOA, signal), candidate)
    const at = candidate
    if (answers.some((record) => isAt(record, at, types.SOA))) return candidate
    // The SOA beside a "no" names the zone that said it (RFC 2308 section 3), unless an alias was followed.
    const said = answers.length === 0 ? authorities.find((record) => record.type === types.SOA) : undefined
    if (said !== undefined && said.name !== '' && `.${candidate}`.endsWith(`.${said.name}`)) return said.name
    candidate = parentOf(candidate)
  }
  throw lookupProblem(`${fqdn}: no zone was found that it is in`)
}

/** The CNAME at a name, as the first server that answers has it. */
async function aliasOf(ask: Ask, zone: Zone, fqdn: string, signal: AbortSignal): Promise<string | null> {
  if (fqdn === zone.name) return null
  let last = 'no server of it may be asked'
  for (const { host, addresses, problem } of zone.servers) {
    last = problem ?? last
    for (const address of addresses) {
      try {
        const { answers } = await ask.server(address, fqdn, types.CNAME, signal)
        return answers.find((record) => isAt(record, fqdn, types.CNAME))?.target ?? null
      } catch (error) {
        last = `${host}: ${(error as Error).message}`
      }
    }
  }
  throw lookupProblem(`no name server of ${zone.name} answers (${last})`)
}

async function asked(question: Promise<ReadMessage>, name: string): Promise<ReadMessage> {
  return question.catch((error: unknown) => {
    throw lookupProblem(`${name} could not be looked up: ${(error as Error).message}`, error)
  })
}

function isAt(record: { readonly name: string; readonly type: number }, name: string, type: number): boolean {
  return record.name === name && record.type === type
}

function parentOf(name: string): string {
  const dot = name.indexOf('.')
  return dot === -1 ? '' : name.slice(dot + 1)
}

function lookupProblem(message: string, cause?: unknown): DnsProviderError {
  return new DnsProviderError('lookup', message, { cause })
}
