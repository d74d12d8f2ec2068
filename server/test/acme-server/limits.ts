import { isIP } from 'node:net'
import { getDomain } from 'tldts'
import { baseOf, setKey } from './identifiers.ts'
import type { WritableLog } from './log.ts'
import { AcmeProblem } from './problem.ts'

/** So many in a period; they come back one by one, each after period / count (a token bucket). */
export type Limit = { readonly count: number; readonly periodSeconds: number }

/** The limits of https://letsencrypt.org/docs/rate-limits/ as of August 2026; null turns one off. */
export type LimitTable = {
  newOrdersPerAccount: Limit | null
  certificatesPerDomain: Limit | null
  certificatesPerExactSet: Limit | null
  failedAuthorizations: Limit | null
  newAccountsPerAddress: Limit | null
  /** After so many failures in a row a name is paused for the account until `unpause`. */
  consecutiveFailures: number | null
}

/** `enforced`: refuse; `observed`: count and log, refuse nothing; `off`: do not even count. */
export type LimitMode = 'enforced' | 'observed' | 'off'

/** The limits at the start; what is left out is Let's Encrypt's. Mode by default `enforced`. */
export type RateLimitOptions = Partial<LimitTable> & { readonly mode?: LimitMode }

export type RateLimits = {
  /** Changed while the server runs. */
  mode: LimitMode
  readonly table: LimitTable
  /** Throws `rateLimited`, or spends one order. A right `replaces` is exempt from all. */
  checkNewOrder(order: { accountId: string; names: readonly string[]; isReplacement: boolean }): void
  /** Counts what was issued. */
  spendCertificate(names: readonly string[], isReplacement: boolean): void
  /** Counts a validation that failed. */
  spendFailure(accountId: string, name: string): void
  /** A validation that succeeded ends a row of failures. */
  noteSuccess(accountId: string, name: string): void
  /** Throws `rateLimited`, or counts a new account of a client's address. */
  spendNewAccount(address: string): void
  /** Names may be ordered again that had failed too often in a row. */
  unpause(accountId: string): void
}

const HOUR = 3_600
const WEEK = 168 * HOUR
const DOCS = 'https://letsencrypt.org/docs/rate-limits/'

const letsEncrypt: LimitTable = {
  newOrdersPerAccount: { count: 300, periodSeconds: 3 * HOUR },
  certificatesPerDomain: { count: 50, periodSeconds: WEEK },
  certificatesPerExactSet: { count: 5, periodSeconds: WEEK },
  failedAuthorizations: { count: 5, periodSeconds: HOUR },
  newAccountsPerAddress: { count: 10, periodSeconds: 3 * HOUR },
  consecutiveFailures: 1_152,
}

type BucketName = Exclude<keyof LimitTable, 'consecutiveFailures'>

/** Texts of the same kind as Let's Encrypt's, since clients read them. */
const texts: Readonly<Record<BucketName, { what: (count: number, key: string) => string; anchor: string }>> = {
  newOrdersPerAccount: {
    what: (count) => `too many new orders (${count}) from this account`,
    anchor: 'new-orders-per-account',
  },
  certificatesPerDomain: {
    what: (count, key) => `too many certificates (${count}) already issued for ${JSON.stringify(key)}`,
    anchor: 'new-certificates-per-registered-domain',
  },
  certificatesPerExactSet: {
    what: (count) => `too many certificates (${count}) already issued for this exact set of identifiers`,
    anchor: 'new-certificates-per-exact-set-of-identifiers',
  },
  failedAuthorizations: {
    what: (count, key) => `too many failed authorizations (${count}) for ${JSON.stringify(key.split(' ')[1])}`,
    anchor: 'authorization-failures-per-identifier-per-account',
  },
  newAccountsPerAddress: {
    what: (count) => `too many new registrations (${count}) from this IP address`,
    anchor: 'new-registrations-per-ip-address',
  },
}

/** Counters on a clock (ms since 1970). Without options nothing is counted. */
export function createLimits(options: RateLimitOptions | undefined, clock: () => number, log: WritableLog): RateLimits {
  const { mode = options === undefined ? 'off' : 'enforced', ...own } = options ?? {}
  const table: LimitTable = { ...letsEncrypt, ...own }
  const buckets = new Map<string, number>()
  const knownSets = new Set<string>()
  const failures = new Map<string, number>()

  /** When there is room again for one more: in the past when there is room now. */
  const roomAt = (name: BucketName, key: string): number => {
    const limit = table[name]
    if (limit === null) return 0
    const full = Math.max(buckets.get(`${name} ${key}`) ?? 0, clock()) + stepMs(limit)
    return full - limit.periodSeconds * 1_000
  }
  /** Takes one where there is room: never more than the bucket holds. False when there was none. */
  const spend = (name: BucketName, key: string): boolean => {
    const limit = table[name]
    if (limit === null) return true
    if (roomAt(name, key) > clock()) return false
    buckets.set(`${name} ${key}`, Math.max(buckets.get(`${name} ${key}`) ?? 0, clock()) + stepMs(limit))
    return true
  }
  const check = (name: BucketName, key: string): void => {
    const limit = table[name]
    const retryAt = roomAt(name, key)
    if (limit === null || retryAt <= clock()) return
    const isEnforced = limits.mode === 'enforced'
    log.add({ kind: 'limit', limit: name, key, isEnforced, retryAt })
    if (isEnforced) throw rateLimited(name, limit, key, { retryAt, now: clock() })
  }
  /** What a certificate costs that was let through when it was ordered. */
  const spendIssued = (name: BucketName, key: string): void => {
    const retryAt = roomAt(name, key)
    if (!spend(name, key)) log.add({ kind: 'limit', limit: name, key, isEnforced: false, retryAt })
  }
  const checkPaused = (accountId: string, names: readonly string[]): void => {
    const most = table.consecutiveFailures
    const paused = names
      .map(baseOf)
      .filter((name) => most !== null && (failures.get(`${accountId} ${name}`) ?? 0) >= most)
    if (paused.length === 0) return
    const isEnforced = limits.mode === 'enforced'
    log.add({
      kind: 'limit',
      limit: 'consecutiveFailures',
      key: paused.join(','),
      isEnforced,
      retryAt: Number.POSITIVE_INFINITY,
    })
    const detail = `Your account is temporarily prevented from requesting certificates for ${paused.join(',')}. Please visit: https://ca.test/unpause`
    if (isEnforced) throw new AcmeProblem('rateLimited', detail)
  }

  const limits: RateLimits = {
    mode,
    table,
    checkNewOrder({ accountId, names, isReplacement }) {
      if (limits.mode === 'off' || isReplacement) return
      checkPaused(accountId, names)
      for (const name of new Set(names.map(baseOf))) check('failedAuthorizations', `${accountId} ${name}`)
      check('certificatesPerExactSet', setKey(names))
      // The same set again is a renewal: exempt from these two.
      if (knownSets.has(setKey(names))) return
      for (const domain of registeredDomains(names)) check('certificatesPerDomain', domain)
      check('newOrdersPerAccount', accountId)
      spend('newOrdersPerAccount', accountId)
    },
    spendCertificate(names, isReplacement) {
      if (limits.mode === 'off') return
      const key = setKey(names)
      const isRenewal = knownSets.has(key)
      knownSets.add(key)
      if (isReplacement) return
      spendIssued('certificatesPerExactSet', key)
      if (isRenewal) return
      for (const domain of registeredDomains(names)) spendIssued('certificatesPerDomain', domain)
    },
    spendFailure(accountId, name) {
      if (limits.mode === 'off') return
      const key = `${accountId} ${name}`
      failures.set(key, (failures.get(key) ?? 0) + 1)
      spend('failedAuthorizations', key)
    },
    noteSuccess: (accountId, name) => void failures.delete(`${accountId} ${name}`),
    spendNewAccount(address) {
      if (limits.mode === 'off') return
      check('newAccountsPerAddress', address)
      spend('newAccountsPerAddress', address)
    },
    unpause(accountId) {
      for (const key of failures.keys()) if (key.startsWith(`${accountId} `)) failures.delete(key)
    },
  }
  return limits
}

/** The domains that a registrant holds, private suffixes counted as suffixes; an address is its own (IPv6: its /64). */
export function registeredDomains(names: readonly string[]): string[] {
  const domains = names.map((name) => {
    if (isIP(name) === 6) return `${expandedStart(name)}::/64`
    return getDomain(baseOf(name), { allowPrivateDomains: true }) ?? baseOf(name)
  })
  return [...new Set(domains)]
}

function rateLimited(
  name: BucketName,
  limit: Limit,
  key: string,
  { retryAt, now }: { retryAt: number; now: number },
): AcmeProblem {
  const { what, anchor } = texts[name]
  // Rounded up: whoever waits until then finds room.
  const at = Math.ceil(retryAt / 1_000) * 1_000
  const until = new Date(at).toISOString().slice(0, 19).replace('T', ' ')
  const detail = `${what(limit.count, key)} in the last ${goDuration(limit.periodSeconds)}, retry after ${until} UTC: see ${DOCS}#${anchor}`
  return new AcmeProblem('rateLimited', detail, {
    headers: { 'retry-after': String(Math.max(1, Math.ceil((at - now) / 1_000))) },
  })
}

/** As Go writes durations: `3h0m0s`, `1m30s`. */
function goDuration(seconds: number): string {
  const [hours, minutes, rest] = [Math.floor(seconds / HOUR), Math.floor((seconds % HOUR) / 60), seconds % 60]
  return `${hours > 0 ? `${hours}h` : ''}${hours > 0 || minutes > 0 ? `${minutes}m` : ''}${rest}s`
}

function expandedStart(address: string): string {
  const [head = '', tail = ''] = address.split('::')
  const left = head.split(':').filter((group) => group !== '')
  const right = tail.split(':').filter((group) => group !== '')
  const zeros = Array.from({ length: Math.max(0, 8 - left.length - right.length) }, () => '0')
  return [...left, ...zeros, ...right].slice(0, 4).join(':')
}

function stepMs({ count, periodSeconds }: Limit): number {
  return (periodSeconds * 1_000) / count
}
