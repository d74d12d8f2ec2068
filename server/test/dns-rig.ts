import { randomUUIDv7 } from 'node:crypto'
import { createReach } from '../contract/reach.ts'
import type { Db } from '../control/db.ts'
import { type Ask, createAsk } from '../control/dns/ask.ts'
import { createOpenProvider, type OpenProvider, secretContext } from '../control/dns/open-provider.ts'
import type { ProviderReach } from '../control/dns/providers/reach.ts'
import { createDnsRecords, type DnsRecords } from '../control/dns/records.ts'
import type { ProviderConfig, ProviderKind } from '../control/dns/schema.ts'
import { createDnsSolver, type DnsSolver } from '../control/dns/solver.ts'
import { insertProvider, type ProviderRow } from '../control/dns/store.ts'
import { createDialler } from '../control/outbound/dialler.ts'
import { createHttpCaller } from '../control/outbound/http-call.ts'
import type { Vault } from '../control/vault.ts'
import { testVault } from './certificate-rig.ts'
import { type NameServers, POWERDNS_KEY, tsigKeys } from './name-servers.ts'

/** The parts of dns-01 over a database and the name servers of a test; loopback counts as allowed. */
export type DnsParts = {
  readonly ask: Ask
  readonly open: OpenProvider
  readonly records: DnsRecords
  readonly solver: DnsSolver
  readonly outside: ProviderReach
}

/** Where names are looked up, what may be reached, and where Cloudflare is. */
export type DnsPlaces = {
  readonly servers: Pick<NameServers, 'resolver' | 'port'>
  readonly allowed?: readonly string[]
  readonly cloudflareUrl?: string
}

/** Makes the parts as the control plane does. */
export function makeDnsParts(db: Db, places: DnsPlaces, vault: Vault = testVault()): DnsParts {
  const { servers, allowed = ['127.0.0.0/8'] } = places
  const dnsServers = [servers.resolver]
  const reach = createReach(allowed)
  const lookups = createDialler({ reach, dnsServers })
  const call = createHttpCaller({ lookups, reach })
  const cloudflare = places.cloudflareUrl === undefined ? {} : { cloudflareUrl: places.cloudflareUrl }
  const outside = { lookups, reach, call, ...cloudflare }
  const open = createOpenProvider(vault, outside)
  const ask = createAsk({ lookups, reach, dnsServers, port: servers.port })
  const records = createDnsRecords({ db, open })
  return { ask, open, records, outside, solver: createDnsSolver({ db, records, ask, lookups }) }
}

/** Adds a provider without the rules of the service. */
export function addProvider(
  db: Db,
  provider: {
    readonly tenantId: string | null
    readonly kind: ProviderKind
    readonly config?: ProviderConfig
    readonly secret?: string
    readonly zones: string[]
  },
  vault: Vault = testVault(),
): Promise<ProviderRow> {
  const { tenantId, kind, config = {}, secret, zones } = provider
  const id = randomUUIDv7()
  const secretSealed = secret === undefined ? null : vault.seal(secret, secretContext(id))
  return db.$transaction((tx) => insertProvider(tx, { id, tenantId, kind, name: id, config, secretSealed, zones }))
}

/** The platform's providers that the suites issue with, over a CNAME into a zone of each. */
export const platformProviders: readonly {
  readonly what: string
  readonly target: string
  /** The address of the zone's last authoritative server. */
  readonly last: string
  readonly of: (servers: NameServers) => Parameters<typeof addProvider>[1]
}[] = [
  {
    what: 'Knot by RFC 2136 with TSIG',
    target: 'customer.test.two.test',
    last: '127.0.0.3',
    of: ({ primaries }) => ({
      tenantId: null,
      kind: 'rfc2136',
      config: { server: primaries.knot, keyName: 'long-key.example', algorithm: 'hmac-sha512' },
      secret: tsigKeys['long-key.example'].secret,
      zones: ['two.test'],
    }),
  },
  {
    what: 'PowerDNS by its API',
    target: 'customer.test.power.test',
    last: '127.0.0.4',
    of: ({ powerDnsUrl }) => ({
      tenantId: null,
      kind: 'powerdns',
      config: { url: powerDnsUrl, serverId: 'localhost' },
      secret: POWERDNS_KEY,
      zones: ['power.test'],
    }),
  },
]
