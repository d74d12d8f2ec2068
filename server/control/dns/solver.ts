import { type Db, hint, write } from '../db.ts'
import type { Lookups } from '../outbound/resolver.ts'
import type { Ask } from './ask.ts'
import { chooseProvider, platformTargets } from './choose.ts'
import { challengeName, type Delegation, followDelegation } from './delegation.ts'
import { lookUpPersistRecord, type PersistState, type PersistWanted } from './persist.ts'
import { isEverywhere, lookAtServers, sightingsProblem } from './propagation.ts'
import { DnsProviderError } from './provider.ts'
import { findRecord, makeRecordsDue, noteTry } from './record-store.ts'
import type { DnsRecords } from './records.ts'
import { type ProviderRow, providersFor } from './store.ts'

/** All of one call, lookups, provider and servers. */
const PRESENT_MS = 60_000
const COVERS_MS = 15_000
/** Waits between looks at the servers; the last is repeated. */
const WAITS_MS = [2_000, 3_000, 5_000, 10_000, 20_000, 30_000]
/** After so many looks in vain it is said what is in the way, and the value is set again at each of so many. */
const PATIENCE = 4

/** A challenge to answer. `value` is the digest of the key authorization (RFC 8555 section 8.4), base64url. */
export type DnsChallenge = {
  readonly tenantId: string
  readonly orderId: string
  /** As in the certificate, or without the `*.` of a wildcard: both mean the same place. */
  readonly name: string
  readonly value: string
  readonly signal?: AbortSignal
}

/** How far a challenge is: every authoritative server has it, or it is to be asked again after a while. */
export type DnsPresence =
  | { readonly state: 'propagated' }
  | {
      readonly state: 'waiting'
      readonly retryAfterMs: number
      /** What is in the way, once it has taken long; fit for the tenant. */
      readonly problem: string | null
    }

/** Answers dns-01 and reads dns-persist-01, for the certificate manager. */
export type DnsSolver = {
  /** Whether a provider of the tenant, or the platform's, can write the challenge of a name. Never throws. */
  covers(tenantId: string, name: string): Promise<boolean>
  /**
   * Writes the challenge and looks whether it is there; the same call again goes on, after any crash too.
   * Throws `DnsProviderError`; `retryAfterMs` of it is the provider's wish.
   */
  present(challenge: DnsChallenge): Promise<DnsPresence>
  /** Tells that an order has ended, so that its records go at once; without it they go within a minute or two. */
  release(orderId: string): Promise<void>
  /** CNAMEs with which the platform can answer for a name whose DNS is elsewhere; any one of them is enough. */
  delegations(tenantId: string, name: string): Promise<{ type: 'CNAME'; name: string; value: string }[]>
  /** What the DNS says about issuing for a name by dns-persist-01. Never throws. */
  persistRecord(name: string, wanted: PersistWanted): Promise<PersistState>
  /** Whether `persistRecord` finds one that is valid now. */
  hasPersistRecord(name: string, wanted: PersistWanted): Promise<boolean>
}

/** What the solver needs. */
export type DnsSolverDeps = {
  readonly db: Db
  readonly records: DnsRecords
  readonly ask: Ask
  readonly lookups: Lookups
}

/** Makes the solver. It keeps nothing in memory. */
export function createDnsSolver({ db, records, ask, lookups }: DnsSolverDeps): DnsSolver {
  return {
    async covers(tenantId, name) {
      const providers = await providersFor(db, tenantId)
      if (providers.length === 0) return false
      const fqdn = await followDelegation(ask, name, AbortSignal.timeout(COVERS_MS)).then(
        (delegation) => delegation.fqdn,
        // Without an answer the name itself decides; whether it works is then seen by trying.
        () => challengeName(name),
      )
      return chooseProvider(providers, tenantId, name, fqdn) !== null
    },
    async present({ tenantId, orderId, name, value, signal }) {
      const deadline = AbortSignal.timeout(PRESENT_MS)
      const limited = signal === undefined ? deadline : AbortSignal.any([signal, deadline])
      const delegation = await followDelegation(ask, name, limited)
      const provider = await providerFor(db, tenantId, name, delegation)
      const { fqdn } = delegation
      const key = { orderId, hostname: name, fqdn, value }
      const before = await findRecord(db, { ...key, providerId: provider.id })
      const isDue = before?.state !== 'present' || before.failures % PATIENCE === PATIENCE - 1
      const row = isDue ? await records.write(provider, key, limited).catch(hidden(provider)) : before
      const sightings = await lookAtServers(ask, delegation.zone, key, limited)
      if (isEverywhere(sightings)) {
        await noteTry(db, row.id, null)
        return { state: 'propagated' }
      }
      const problem = sightingsProblem(sightings, fqdn)
      const tries = await noteTry(db, row.id, problem)
      const retryAfterMs = WAITS_MS[Math.min(tries, WAITS_MS.length) - 1] ?? 2_000
      return { state: 'waiting', retryAfterMs, problem: tries < PATIENCE ? null : problem }
    },
    async release(orderId) {
      await write(db, {}, async (tx) => {
        if ((await makeRecordsDue(tx, orderId)) > 0) await hint(tx, 'dns')
      })
    },
    async delegations(tenantId, name) {
      const providers = await providersFor(db, tenantId)
      const zones = providers.flatMap((provider) => (provider.tenantId === null ? provider.zones : []))
      return zones.map((zone) => ({
        type: 'CNAME',
        name: challengeName(name),
        value: platformTargets(name, [zone])[0] ?? '',
      }))
    },
    persistRecord: (name, wanted) => lookUpPersistRecord(lookups, name, wanted, new Date()),
    async hasPersistRecord(name, wanted) {
      return (await lookUpPersistRecord(lookups, name, wanted, new Date())).state === 'found'
    },
  }
}

async function providerFor(db: Db, tenantId: string, name: string, delegation: Delegation): Promise<ProviderRow> {
  const { fqdn, chain } = delegation
  const provider = chooseProvider(await providersFor(db, tenantId), tenantId, name, fqdn)
  if (provider !== null) return provider
  const led = chain.length === 1 ? '' : `, to which ${chain[0]} leads`
  throw new DnsProviderError('zone', `no DNS provider controls ${fqdn}${led}. Add one, or point the CNAME elsewhere`)
}

/** What the platform's own provider says is nothing that a tenant should read: addresses, paths, names of keys. */
function hidden(provider: ProviderRow): (error: unknown) => never {
  return (error) => {
    if (provider.tenantId !== null || !(error instanceof DnsProviderError)) throw error
    const { code, retryAfterMs } = error
    const text = `the platform's DNS provider could not write the record (${code}). It is tried again; please tell your provider if this stays`
    throw new DnsProviderError(code, text, { cause: error, retryAfterMs })
  }
}
