import { BlockList, isIP } from 'node:net'
import type { ListenerLimits } from '../contract/listener-limits.ts'
import { CidrError, parseCidr } from '../contract/reach.ts'
import { createRecent } from './recent.ts'

/** Addresses that are remembered with no connection open, for their token bucket: some 200 bytes each. */
const MAX_RESTING = 50_000

/** One address may hold this part of the handshakes that a site or a tenant may have under way, once half of them are. */
const ADDRESS_SHARE = 1 / 20

/** A place that is taken until it is given back. */
export type Place = {
  /** A second call changes nothing. */
  leave(): void
}

/** A place of a site: first as a handshake that waits, then as an open connection. */
export type SitePlace = Place & {
  /** The handshake is done. */
  settle(): void
}

/** A client that has come in by one connection. */
export type Client = Place & {
  /** For a handshake on this connection: false when the client makes too many. */
  mayHandshake(): boolean
  /**
   * For its handshake with a site; null when the site or its tenant has too many, or when one of them is half full
   * and the client holds more than its share. `siteLimit`: of the site's own record.
   */
  enterSite(siteId: string, tenantId: string | null, siteLimit: number | null): SitePlace | null
}

/** Who may come in. Nothing here waits; memory is bounded by the open connections and `MAX_RESTING`. */
export type Admission = {
  /** For a new connection of a client address; null when it has too many. */
  enter(address: string): Client | null
  /** Counts that are held, for tests of their bound. */
  readonly held: number
}

type Bucket = { readonly network: string; open: number; waiting: number; tokens: number; atMs: number }
type Count = { open: number; waiting: number }

/** Makes it. `limits` is asked at each decision, so that a change counts at once. `now` in milliseconds. */
export function createAdmission(limits: () => ListenerLimits, now: () => number = () => performance.now()): Admission {
  const open = new Map<string, Bucket>()
  const resting = createRecent<Bucket>(MAX_RESTING)
  const isExempt = exemption(limits)
  const house: House = {
    limits,
    now,
    sites: new Map(),
    tenants: new Map(),
    rest(bucket) {
      open.delete(bucket.network)
      resting.set(bucket.network, bucket)
    },
  }
  const fresh = (network: string): Bucket => {
    return { network, open: 0, waiting: 0, tokens: limits().addressHandshakesBurst, atMs: now() }
  }
  return {
    enter(address) {
      if (isExempt(address)) return new ClientAtDoor(house, null)
      const network = clientNetwork(address)
      const bucket = open.get(network) ?? resting.take(network) ?? fresh(network)
      if (bucket.open >= limits().addressConnections) return null
      open.set(network, bucket)
      bucket.open += 1
      return new ClientAtDoor(house, bucket)
    },
    get held() {
      return open.size + resting.size + house.sites.size + house.tenants.size
    },
  }
}

/** What all clients share. */
type House = {
  readonly limits: () => ListenerLimits
  readonly now: () => number
  readonly sites: Map<string, Count>
  readonly tenants: Map<string, Count>
  /** The last connection of a bucket is gone. */
  readonly rest: (bucket: Bucket) => void
}

/** A class, like the place below: there is one for each connection. A null bucket is that of an exempt address. */
class ClientAtDoor implements Client {
  readonly #house: House
  readonly #bucket: Bucket | null
  #isGone = false

  constructor(house: House, bucket: Bucket | null) {
    this.#house = house
    this.#bucket = bucket
  }

  mayHandshake(): boolean {
    const bucket = this.#bucket
    if (bucket === null) return true
    const { addressHandshakesPerSecond: rate, addressHandshakesBurst: burst } = this.#house.limits()
    const at = this.#house.now()
    bucket.tokens = Math.min(burst, bucket.tokens + ((at - bucket.atMs) / 1_000) * rate)
    bucket.atMs = at
    if (bucket.tokens < 1) return false
    bucket.tokens -= 1
    return true
  }

  enterSite(siteId: string, tenantId: string | null, siteLimit: number | null): SitePlace | null {
    const { limits, sites, tenants } = this.#house
    const { siteConnections, siteHandshakes, tenantConnections, tenantHandshakes } = limits()
    const most = Math.min(siteConnections, siteLimit ?? siteConnections)
    const site = sites.get(siteId)
    const tenant = tenantId === null ? undefined : tenants.get(tenantId)
    if (isFull(site, most, siteHandshakes) || isFull(tenant, tenantConnections, tenantHandshakes)) return null
    const bucket = this.#bucket
    if (isGreedy(bucket, site, siteHandshakes) || isGreedy(bucket, tenant, tenantHandshakes)) return null
    return new PlaceAtSite(this.#house, siteId, tenantId, bucket)
  }

  leave(): void {
    const bucket = this.#bucket
    if (this.#isGone || bucket === null) return
    this.#isGone = true
    bucket.open -= 1
    if (bucket.open === 0) this.#house.rest(bucket)
  }
}

class PlaceAtSite implements SitePlace {
  readonly #house: House
  readonly #siteId: string
  readonly #tenantId: string | null
  readonly #site: Count
  readonly #tenant: Count | null
  readonly #bucket: Bucket | null
  #state: 'waiting' | 'settled' | 'left' = 'waiting'

  constructor(house: House, siteId: string, tenantId: string | null, bucket: Bucket | null) {
    this.#house = house
    this.#siteId = siteId
    this.#tenantId = tenantId
    this.#bucket = bucket
    this.#site = oneMore(house.sites, siteId)
    this.#tenant = tenantId === null ? null : oneMore(house.tenants, tenantId)
    if (bucket !== null) bucket.waiting += 1
  }

  settle(): void {
    if (this.#state !== 'waiting') return
    this.#state = 'settled'
    this.#site.waiting -= 1
    if (this.#tenant !== null) this.#tenant.waiting -= 1
    if (this.#bucket !== null) this.#bucket.waiting -= 1
  }

  leave(): void {
    if (this.#state === 'left') return
    this.settle()
    this.#state = 'left'
    oneLess(this.#house.sites, this.#siteId, this.#site)
    if (this.#tenant !== null && this.#tenantId !== null) oneLess(this.#house.tenants, this.#tenantId, this.#tenant)
  }
}

/** The first six groups of an IPv4 address that came through NAT64 (RFC 6052 section 2.1). */
const NAT64 = '64:ff9b:0:0:0:0'

/**
 * What counts as one client: an IPv4 address, also behind NAT64, or the /64 of an IPv6 one, which is the least that
 * a host is given.
 */
export function clientNetwork(address: string): string {
  if (!address.includes(':') || isIP(address) !== 6) return address
  const [front = '', back] = (address.split('%')[0] ?? '').split('::')
  const groups = front === '' ? [] : front.split(':')
  if (back !== undefined) {
    const behind = back === '' ? [] : back.split(':')
    while (groups.length + behind.length < 8) groups.push('0')
    groups.push(...behind)
  }
  const plain = groups.map((group) => Number.parseInt(group, 16).toString(16))
  if (plain.slice(0, 6).join(':') === NAT64) return plain.join(':')
  return `${plain.slice(0, 4).join(':')}::/64`
}

function isFull(count: Count | undefined, connections: number, handshakes: number): boolean {
  return count !== undefined && (count.open >= connections || count.waiting >= handshakes)
}

/** Whether an address holds its share of a count that is half full. */
function isGreedy(bucket: Bucket | null, count: Count | undefined, handshakes: number): boolean {
  if (bucket === null || count === undefined || count.waiting < handshakes / 2) return false
  return bucket.waiting >= Math.max(1, handshakes * ADDRESS_SHARE)
}

function oneMore(counts: Map<string, Count>, key: string): Count {
  const count = counts.get(key) ?? { open: 0, waiting: 0 }
  counts.set(key, count)
  count.open += 1
  count.waiting += 1
  return count
}

/** A count goes when it is zero. */
function oneLess(counts: Map<string, Count>, key: string, count: Count): void {
  count.open -= 1
  if (count.open === 0) counts.delete(key)
}

/** The list is read anew when the limits are others; what is no CIDR in it exempts nobody. */
function exemption(limits: () => ListenerLimits): (address: string) => boolean {
  let readFrom: readonly string[] | null = null
  let matches: (address: string) => boolean = () => false
  return (address) => {
    const { exempt } = limits()
    if (exempt !== readFrom) {
      readFrom = exempt
      matches = addressMatcher(exempt)
    }
    return matches(address)
  }
}

/** Whether an address is in one of the CIDRs; texts that are none are passed over. */
export function addressMatcher(cidrs: readonly string[]): (address: string) => boolean {
  const lists = { 4: new BlockList(), 6: new BlockList() }
  let isEmpty = true
  for (const cidr of cidrs) {
    try {
      const { address, prefix, family } = parseCidr(cidr)
      lists[family].addSubnet(address, prefix, family === 4 ? 'ipv4' : 'ipv6')
      isEmpty = false
    } catch (error) {
      if (!(error instanceof CidrError)) throw error
    }
  }
  return (address) => {
    const family = isEmpty ? 0 : isIP(address)
    return family !== 0 && (family === 4 ? lists[4].check(address, 'ipv4') : lists[6].check(address, 'ipv6'))
  }
}
