import type { Db } from '../db.ts'
import type { Vault } from '../vault.ts'
import type { Issuer } from './issuer.ts'
import type { Lease } from './lease.ts'
import type { CertificateProblem } from './problems.ts'

/** Waits until every live edge serves these challenge records; false when that did not happen in time. */
export type AwaitAcked = (
  keys: readonly { readonly kind: 'challenge'; readonly key: string }[],
  signal: AbortSignal,
  timeoutMs: number,
) => Promise<boolean>

/** Looks at the proof of ownership again; false when it is gone. */
export type RecheckBeforeOrder = (hostnameId: string) => Promise<boolean>

/** What would make this issuer refuse a first order for sure, or null; asked before the CA is. */
export type Preflight = (
  hostnameId: string,
  issuerId: string,
  signal: AbortSignal,
) => Promise<(CertificateProblem & { readonly isIssuersRefusal: boolean }) | null>

/** A record that is not everywhere yet; `problem` says what is in the way, once that has taken long. */
export type DnsWait = { readonly state: 'waiting'; readonly retryAfterMs: number; readonly problem: string | null }

/** Proofs in DNS, by providers that tenants have set, or by a record that stands. */
export type DnsProofs = {
  /** Whether a provider of the tenant (or of the platform) controls the challenge name of `name`. */
  covers(tenantId: string, name: string): Promise<boolean>
  /** Whether a name, a wildcard above all, can be proven in DNS: by a provider, or by a lasting record for an issuer of ours. */
  proves(tenantId: string, name: string): Promise<boolean>
  /**
   * Writes the TXT record of a dns-01 challenge, again and again the same, and says whether every
   * authoritative server answers it. The record is removed by itself when the order has ended. Throws
   * `DnsProviderError`.
   */
  present(record: {
    readonly tenantId: string
    readonly orderId: string
    readonly name: string
    readonly value: string
    readonly signal: AbortSignal
  }): Promise<{ readonly state: 'propagated' } | DnsWait>
  /** Whether a lasting record (dns-persist-01) for this CA and account stands and is valid now. */
  hasPersistRecord(
    name: string,
    of: { readonly issuerDomains: readonly string[]; readonly accountUrl: string; readonly isWildcard: boolean },
  ): Promise<boolean>
}

/** What carrying out an order needs. */
export type OrderRun = {
  readonly db: Db
  readonly vault: Vault
  readonly issuer: Issuer
  readonly lease: Lease
  readonly tenantId: string
  readonly hostnameIds: readonly string[]
  /** Nothing is served for its names yet: what would fail for sure is not ordered. */
  readonly isFirst: boolean
  /** The type of the last validation that failed. */
  readonly failedChallenge: string | null
  readonly awaitAcked: AwaitAcked
  readonly recheckBeforeOrder: RecheckBeforeOrder
  readonly preflight: Preflight
  readonly dns: DnsProofs
  readonly now: () => Date
  /** Longest stay with the order; then it is left to a later pass, which goes on where this one stopped. */
  readonly patienceMs: number
  /** Aborts at stop and when the lease is lost. */
  readonly signal: AbortSignal
}

/** What the issuer delivered, not looked at yet. */
export type Delivery = { readonly chainPem: string; readonly keyPem: string; readonly accountId: string | null }
