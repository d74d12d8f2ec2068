import type { ProofMethod } from './finding.ts'

/** A CA that may be asked for the certificate. */
export type DoctorIssuer = {
  readonly id: string
  readonly name: string
  /** Names by which CAA records permit it (RFC 8555 section 9.7.6, `caaIdentities`); null: it does not say. */
  readonly caaIdentities: readonly string[] | null
  /** Null: there is no account yet. */
  readonly accountUrl: string | null
  /** Ways by which this installation can prove this very name to it. */
  readonly methods: readonly ProofMethod[]
}

/** One CAA record; `owner` is where it stands, which an alias makes another name than the one asked for. */
export type CaaRecord = {
  readonly owner: string
  readonly flags: number
  readonly tag: string
  readonly value: string
}

/** What was found at one name of the tree. */
export type CaaLookup = {
  readonly name: string
  readonly result:
    | { readonly kind: 'found'; readonly records: readonly CaaRecord[] }
    | { readonly kind: 'absent' }
    | { readonly kind: 'unanswered'; readonly reason: string }
}

/** What the DNS says of one family of addresses. */
export type AddressLookup =
  | { readonly kind: 'found'; readonly addresses: readonly string[] }
  | { readonly kind: 'absent' }
  | { readonly kind: 'unanswered'; readonly reason: string }

/** What one name server says: where the name leads by its records, and what is there. */
export type ServerView = {
  /** Its name. */
  readonly server: string
  readonly v4: AddressLookup
  readonly v6: AddressLookup
}

/** Where a name leads. */
export type Route = {
  /** The host, then each alias target (CNAME) on the way. */
  readonly chain: readonly string[]
  readonly end: 'addresses' | 'loop' | 'too-long'
  /** Addresses at the end of the chain, of all name servers together. */
  readonly v4: AddressLookup
  readonly v6: AddressLookup
  /** Each name server that answered for the end of the chain; empty when only the resolver did. */
  readonly views: readonly ServerView[]
  /** The zone of the host, null when it was not found. */
  readonly zone: string | null
  /** Name servers of zones on the way that gave no usable answer. */
  readonly unreachable: readonly { readonly zone: string; readonly server: string; readonly reason: string }[]
  /** Whether name servers disagreed already on where an alias leads. */
  readonly aliasDisagreement: string | null
  /** Whether the resolver had to be asked instead of the name servers, for the end of the chain. */
  readonly isByResolver: boolean
}

/** What the resolver says with and without checking signatures. */
export type DnssecObservation = {
  readonly checked: 'answered' | 'failed' | 'none'
  readonly unchecked: 'answered' | 'failed' | 'none'
  /** The resolver has checked the signatures and they fit. */
  readonly isAuthentic: boolean
  /** Whether the parent says that the zone is signed; null when that was not found out. */
  readonly isSigned: boolean | null
  /** The resolver's own words on why it failed (RFC 8914). */
  readonly extendedError: string | null
}

/** What answered on port 80 of one address. */
export type PortProbe = {
  readonly family: 4 | 6
  readonly address: string
  readonly result:
    | { readonly kind: 'ours' }
    | { readonly kind: 'other'; readonly status: number; readonly server: string | null }
    | { readonly kind: 'redirect'; readonly location: string }
    | { readonly kind: 'unreachable'; readonly reason: string }
    /** Not dialled, or no way from this machine. */
    | { readonly kind: 'unknown'; readonly reason: string }
  /** Names of the CDN that the head of the answer tells of. */
  readonly cdn: string | null
}

/** Where a name should lead. */
export type RightPlaces = {
  /** Every address that is ours for this site, of both families. Empty: not set up. */
  readonly addresses: readonly string[]
  readonly cnameTarget: string | null
}

/** All that was looked up for one name. Findings are computed of it alone. */
export type Observation = {
  /** As it is stored, `*.` first for a wildcard. */
  readonly name: string
  /** The name that was looked up: a label stands for the asterisk. */
  readonly host: string
  readonly right: RightPlaces
  readonly route: Route
  /** The closest name first (RFC 8659 section 3). */
  readonly caa: readonly CaaLookup[]
  readonly dnssec: DnssecObservation
  /** Null: switched off, or the name is a wildcard. */
  readonly probes: readonly PortProbe[] | null
  /** How far the CA's clock is ahead of ours, in ms; null: not known. */
  readonly clockSkewMs: number | null
}
