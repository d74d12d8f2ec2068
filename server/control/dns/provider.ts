import { DialError } from '../outbound/dialler.ts'

/** Longest time that one call of a provider may take, whatever it does meanwhile. */
export const PROVIDER_MS = 30_000

/** Seconds that others may remember our records: short, they live for minutes. */
export const RECORD_TTL_SECONDS = 60

/**
 * Somewhere TXT records can be written. Both calls are idempotent and leave other values at the same
 * name alone; `fqdn` is normalised, lies in one of the provider's zones and has no trailing dot. They
 * throw `DnsProviderError` and end within `PROVIDER_MS`, sooner when `signal` aborts.
 */
export type DnsProvider = {
  /** Makes sure that the value is among the TXT values of the name. */
  setTxt(fqdn: string, value: string, signal: AbortSignal): Promise<void>
  /** Makes sure that it is not. */
  removeTxt(fqdn: string, value: string, signal: AbortSignal): Promise<void>
}

/** Stable kinds of `DnsProviderError`. */
export type DnsProviderCode =
  /** The key, token or signature was not accepted. */
  | 'credentials'
  /** The provider does not hold the zone. */
  | 'zone'
  /** It holds the zone and did not want to change it. */
  | 'refused'
  | 'rate-limited'
  | 'unreachable'
  | 'timeout'
  /** It leads to an address that may not be dialled. */
  | 'forbidden-address'
  /** The clocks differ too much for a signature. */
  | 'clock'
  /** An answer that cannot be understood, or proves nothing. */
  | 'answer'
  /** What is set for the provider cannot work. */
  | 'config'
  /** The DNS gave no answer about the name itself, or one that cannot be followed. */
  | 'lookup'

/**
 * Why a record could not be written or removed. `message` says what to do, and is fit for the provider's owner;
 * `detail` is the same, as other errors that people read have it.
 */
export class DnsProviderError extends Error {
  override name = 'DnsProviderError'
  readonly code: DnsProviderCode
  /** How long the provider asks us to wait, or null. */
  readonly retryAfterMs: number | null

  constructor(code: DnsProviderCode, message: string, options: { cause?: unknown; retryAfterMs?: number | null } = {}) {
    super(message, { cause: options.cause })
    this.code = code
    this.retryAfterMs = options.retryAfterMs ?? null
  }

  get detail(): string {
    return this.message
  }
}

/** Any failure of a call to `place` as a `DnsProviderError`; bugs of ours stay what they are in `cause`. */
export function asProviderError(error: unknown, place: string): DnsProviderError {
  if (error instanceof DnsProviderError) return error
  if (!(error instanceof DialError))
    return new DnsProviderError('answer', `${place}: the answer could not be understood`, { cause: error })
  const codes: Partial<Record<DialError['code'], DnsProviderCode>> = {
    'forbidden-address': 'forbidden-address',
    timeout: 'timeout',
    url: 'config',
    protocol: 'answer',
    'too-large': 'answer',
  }
  return new DnsProviderError(codes[error.code] ?? 'unreachable', `${place}: ${error.message}`, { cause: error })
}

/** The longest of `zones` that a name lies in, or null. */
export function zoneOf(zones: readonly string[], fqdn: string): string | null {
  const fitting = zones.filter((zone) => fqdn === zone || fqdn.endsWith(`.${zone}`))
  return fitting.reduce<string | null>((best, zone) => (best === null || zone.length > best.length ? zone : best), null)
}

/** Like `zoneOf`. Throws `DnsProviderError` with the code `zone`. */
export function requireZone(zones: readonly string[], fqdn: string): string {
  const zone = zoneOf(zones, fqdn)
  if (zone !== null) return zone
  throw new DnsProviderError('zone', `${fqdn} is in none of the zones of this provider (${zones.join(', ')})`)
}
