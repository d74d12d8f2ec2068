import { isAtOrBelow } from '../../../contract/names.ts'
import type { DnsReply } from '../../outbound/dns-query.ts'
import type { Asker } from './asker.ts'

/** Name servers of a zone that are asked: more say the same. */
const MAX_SERVERS = 6

/** A name server with the address by which it is asked. */
export type NameServer = { readonly host: string; readonly address: string }

/** A zone and who answers for it. */
export type Zone = {
  /** The name at its top. */
  readonly name: string
  readonly servers: readonly NameServer[]
  /** Name servers without any address. */
  readonly homeless: readonly string[]
}

/**
 * The zone that a name is in: the closest name at or above it with an SOA record (RFC 1034 section 4.2). Found
 * with checking disabled, so that broken signatures hide nothing. Null when the resolver gives no answer.
 */
export async function findZone(asker: Asker, name: string): Promise<Zone | null> {
  for (let current = name; current !== ''; current = parentOf(current)) {
    const top = zoneTop(await asker.resolver(current, 'SOA', true), current)
    if (top !== null) return withServers(asker, top)
  }
  return null
}

/**
 * The zone below that a server refers to, when its reply is a referral for the name (RFC 1034 section 4.3.2),
 * else null. Seen where the resolver fails at a zone and its parent has to be asked.
 */
export async function referredZone(asker: Asker, zone: Zone, name: string, reply: DnsReply): Promise<Zone | null> {
  if (reply.kind !== 'reply' || reply.isAuthoritative || reply.answers.length > 0) return null
  const below = reply.authorities.filter(
    (record) => record.type === 'NS' && record.name !== zone.name && isBelow(name, record.name, zone.name),
  )
  const top = below[0]?.name
  if (top === undefined) return null
  const hosts = below.filter((record) => record.name === top).map(({ value }) => value)
  const glue = reply.additionals.filter((record) => record.type === 'A' || record.type === 'AAAA')
  return addressed(asker, top, hosts, (host) => glue.find((record) => record.name === host)?.value)
}

/** The name above; empty above a top-level name. */
export function parentOf(name: string): string {
  const dot = name.indexOf('.')
  return dot < 0 ? '' : name.slice(dot + 1)
}

function zoneTop(reply: DnsReply, asked: string): string | null {
  if (reply.kind !== 'reply' || (reply.code !== 'NOERROR' && reply.code !== 'NXDOMAIN')) return null
  if (reply.answers.some(({ type, name }) => type === 'SOA' && name === asked)) return asked
  // The SOA beside an alias is that of another name's zone.
  if (reply.answers.some(({ type }) => type === 'CNAME')) return null
  const top = reply.authorities.find(({ type, name }) => type === 'SOA' && name !== '' && isAtOrBelow(asked, name))
  return top?.name ?? null
}

async function withServers(asker: Asker, top: string): Promise<Zone> {
  const reply = await asker.resolver(top, 'NS', true)
  const records = reply.kind === 'reply' ? reply.answers : []
  const hosts = records.filter(({ type, name }) => type === 'NS' && name === top).map(({ value }) => value)
  return addressed(asker, top, hosts, () => undefined)
}

async function addressed(
  asker: Asker,
  top: string,
  hosts: readonly string[],
  known: (host: string) => string | undefined,
): Promise<Zone> {
  const chosen = [...new Set(hosts)].sort().slice(0, MAX_SERVERS)
  const found = await Promise.all(
    chosen.map(async (host) => ({ host, address: known(host) ?? (await addressOf(asker, host)) })),
  )
  return {
    name: top,
    servers: found.flatMap(({ host, address }) => (address === null ? [] : [{ host, address }])),
    homeless: found.filter(({ address }) => address === null).map(({ host }) => host),
  }
}

/** IPv4 first: not every machine has a way to IPv6. */
async function addressOf(asker: Asker, host: string): Promise<string | null> {
  for (const type of ['A', 'AAAA'] as const) {
    const reply = await asker.resolver(host, type, true)
    const record = reply.kind === 'reply' ? reply.answers.find((one) => one.type === type) : undefined
    if (record !== undefined) return record.value
  }
  return null
}

function isBelow(name: string, middle: string, top: string): boolean {
  return isAtOrBelow(name, middle) && isAtOrBelow(middle, top)
}
