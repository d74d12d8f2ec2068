import { type ChallengeType, challengeTypes } from './challenge-type.ts'
import type { RateLimitOptions } from './limits.ts'
import type { RenewalRule } from './renewal-rule.ts'

/** One profile of draft-ietf-acme-profiles. */
export type Profile = {
  /** Text for people, in the directory. */
  readonly description: string
  /** From notBefore to notAfter. */
  readonly lifetimeSeconds: number
  readonly maxNames: number
  /** Whether the CSR's common name, or else the first short name, stands in the subject. Default false. */
  readonly hasCommonName?: boolean
  /** Whether IP identifiers are allowed. Default true. */
  readonly allowsAddresses?: boolean
}

/** What a test chooses; all but `httpPort` has a default. */
export type AcmeServerOptions = {
  /** Where http-01 requests go (at the address of the name). */
  readonly httpPort?: number
  /** Where tls-alpn-01 connections go, and redirects to https. */
  readonly tlsPort?: number
  /** `address:port` of a recursive resolver. Without one all names are 127.0.0.1 and challenges by DNS are not offered. */
  readonly dnsServer?: string
  /** The challenge types offered; default all that can be checked. */
  readonly challengeTypes?: readonly ChallengeType[]
  /** ms since 1970; default the real clock. Rules every date that the server writes or compares. */
  readonly clock?: () => number
  /** From 0 up to 1; decides nonce rejection and fault rates. */
  readonly random?: () => number
  /** Share of good nonces that are refused; default 0. */
  readonly nonceRejectPercent?: number
  /** Accounts need one of these: key id -> MAC key, base64url. */
  readonly externalAccounts?: Readonly<Record<string, string>>
  /** Whether a key id makes one account only, as some CAs have it. Default false. */
  readonly isExternalAccountUsedOnce?: boolean
  /** Null: none to agree to. */
  readonly termsOfService?: string | null
  /** Also the issuer domain names of dns-persist-01. Default `ca.test`. */
  readonly caaIdentities?: readonly string[]
  /** Default: `classic` (90 days), `tlsserver` (45 days), `shortlived` (160 hours) as Let's Encrypt has them. `{}`: none are offered. */
  readonly profiles?: Readonly<Record<string, Profile>>
  /** Used where newOrder names none; default the first of `profiles`. */
  readonly defaultProfile?: string
  /** When no profile applies; default 90 days. */
  readonly lifetimeSeconds?: number
  /** How far notBefore lies before the moment of issuing. Default 0. */
  readonly backdateSeconds?: number
  /** How long an order stays in processing after finalize; default 0: the answer to finalize is the valid order. */
  readonly finalizeDelayMs?: number
  /** How long after the challenge was answered the validation starts, by the real clock. Default 0. */
  readonly validationDelayMs?: number
  /** Limit of each step of a validation. Default 5,000. */
  readonly validationTimeoutMs?: number
  /** `Retry-After` of pending authorizations and processing orders; default 1. */
  readonly pollSeconds?: number
  /** How long a valid authorization serves the account's further orders; default 0: not at all. */
  readonly authorizationReuseSeconds?: number
  /** Names (and all below them) that policy forbids: rejectedIdentifier. */
  readonly rejectedNames?: readonly string[]
  /** Left out: none are counted. */
  readonly limits?: RateLimitOptions
  /** The rule of suggested windows. */
  readonly renewal?: RenewalRule
  /** Listen at this port instead of a free one. */
  readonly port?: number
}

const DAY_SECONDS = 86_400

const profiles: Readonly<Record<string, Profile>> = {
  classic: {
    description: 'The same profile you are accustomed to',
    lifetimeSeconds: 90 * DAY_SECONDS,
    maxNames: 100,
    hasCommonName: true,
    allowsAddresses: false,
  },
  tlsserver: {
    description: 'For servers: no common name',
    lifetimeSeconds: 45 * DAY_SECONDS,
    maxNames: 25,
    allowsAddresses: false,
  },
  shortlived: { description: 'Six days, names and addresses', lifetimeSeconds: 160 * 3_600, maxNames: 25 },
}

/** The options with every default in place. */
export type Settings = Required<
  Omit<AcmeServerOptions, 'port' | 'limits' | 'renewal' | 'dnsServer' | 'externalAccounts' | 'defaultProfile'>
> & {
  readonly dnsServer: string | null
  readonly externalAccounts: Readonly<Record<string, string>> | null
  /** Null: the first that there is. */
  readonly defaultProfile: string | null
}

/** Fills in what was left out. */
export function settingsOf(options: AcmeServerOptions): Settings {
  const dnsServer = options.dnsServer ?? null
  const offered = options.challengeTypes ?? challengeTypes
  return {
    httpPort: 80,
    tlsPort: 443,
    clock: Date.now,
    random: Math.random,
    nonceRejectPercent: 0,
    isExternalAccountUsedOnce: false,
    termsOfService: 'https://ca.test/terms',
    caaIdentities: ['ca.test'],
    profiles,
    lifetimeSeconds: 90 * DAY_SECONDS,
    backdateSeconds: 0,
    finalizeDelayMs: 0,
    validationDelayMs: 0,
    validationTimeoutMs: 5_000,
    pollSeconds: 1,
    authorizationReuseSeconds: 0,
    rejectedNames: [],
    ...options,
    dnsServer,
    externalAccounts: options.externalAccounts ?? null,
    defaultProfile: options.defaultProfile ?? null,
    challengeTypes: offered.filter((type) => dnsServer !== null || !type.startsWith('dns-')),
  }
}
