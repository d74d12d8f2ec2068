import { Resolver } from 'node:dns/promises'

/** One try of one server; the next one waits twice as long. A lookup ends within about 6 s. */
const TRY_MS = 1_500
const TRIES = 2
/** A name with more values than this is answered in part: nobody needs them, and each costs. */
const MAX_VALUES = 100
/** Longest TXT value that is looked at, all its strings joined. */
const MAX_TXT_LENGTH = 2_048

/** What a lookup gave: values, the certainty that there are none, or no usable answer. */
export type LookupResult =
  | { readonly kind: 'found'; readonly values: readonly string[] }
  /** The DNS says that there is no such name, or no such record at it. */
  | { readonly kind: 'absent' }
  /** No answer in time, SERVFAIL and the like: says nothing about the name. */
  | { readonly kind: 'unanswered'; readonly reason: string }

/** Asks the resolvers; never throws, always ends. CNAMEs are followed by them. */
export type Lookups = {
  /** TXT values, the strings of each joined (RFC 7208 section 3.3 has the same habit). */
  lookupTxt(name: string): Promise<LookupResult>
  /** IPv4 addresses. */
  lookupA(name: string): Promise<LookupResult>
  /** IPv6 addresses. */
  lookupAaaa(name: string): Promise<LookupResult>
}

/**
 * Lookups at `dnsServers` (`address` or `address:port`, as `NAMEPLATE_DNS_SERVERS` has them), or at the
 * system's when null. Values of a wildcard or a CNAME count as the DNS says.
 */
export function createLookups(dnsServers: readonly string[] | null): Lookups {
  const resolver = new Resolver({ timeout: TRY_MS, tries: TRIES, maxTimeout: TRY_MS * 2 })
  if (dnsServers !== null) resolver.setServers(dnsServers)
  return {
    lookupTxt: (name) =>
      ask(async () => (await resolver.resolveTxt(name)).map((strings) => strings.join('').slice(0, MAX_TXT_LENGTH))),
    lookupA: (name) => ask(() => resolver.resolve4(name)),
    lookupAaaa: (name) => ask(() => resolver.resolve6(name)),
  }
}

async function ask(question: () => Promise<string[]>): Promise<LookupResult> {
  try {
    const values = await question()
    return values.length === 0 ? { kind: 'absent' } : { kind: 'found', values: values.slice(0, MAX_VALUES) }
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'ERROR'
    if (code === 'ENOTFOUND' || code === 'ENODATA') return { kind: 'absent' }
    return { kind: 'unanswered', reason: reasons[code] ?? `the lookup failed (${code})` }
  }
}

const reasons: Record<string, string> = {
  ETIMEOUT: 'the name servers did not answer in time',
  ESERVFAIL: 'the name servers answered with a failure (SERVFAIL)',
  EREFUSED: 'the name servers refused to answer',
  ECONNREFUSED: 'the resolver cannot be reached',
  ECANCELLED: 'the lookup was cancelled',
}
