import type { LookupResult, Lookups } from '../outbound/resolver.ts'

/**
 * dns-persist-01 (draft-ietf-acme-dns-persist): one lasting TXT record says which CA and which of its accounts may
 * issue for a name, in the syntax of a CAA issue value (RFC 8659 section 4.2).
 */

/** What a record has to say: any of the CA's issuer domain names, and our account there. */
export type PersistWanted = {
  readonly issuerDomains: readonly string[]
  readonly accountUrl: string
  /** A wildcard needs `policy=wildcard`. */
  readonly isWildcard: boolean
}

/** What the DNS says. `persistUntil` is when the record stops to count; null: never. */
export type PersistState =
  | { readonly state: 'found'; readonly persistUntil: Date | null }
  | { readonly state: 'expired'; readonly persistUntil: Date }
  /** For the CA and our account, without `policy=wildcard`. */
  | { readonly state: 'no-wildcard' }
  | { readonly state: 'wrong-account'; readonly accountUrl: string | null }
  | { readonly state: 'malformed'; readonly detail: string }
  /** No record, or none for this CA. */
  | { readonly state: 'absent' }
  | { readonly state: 'unanswered'; readonly reason: string }

/** A record to show to whoever keeps the DNS. */
export type PersistInstruction = { readonly type: 'TXT'; readonly name: string; readonly value: string }

/** Where the record is; a wildcard shares it with its parent. */
export function persistName(name: string): string {
  return `_validation-persist.${name.replace(/^\*\./, '')}`
}

/** Looks the record of a name up and judges it at `now`. Never throws. */
export async function lookUpPersistRecord(
  lookups: Lookups,
  name: string,
  wanted: PersistWanted,
  now: Date,
): Promise<PersistState> {
  return judgePersistRecords(await lookups.lookupTxt(persistName(name)), wanted, now)
}

/** The best of all values: one that is good is enough, and else the one that needs least is told of. */
export function judgePersistRecords(result: LookupResult, wanted: PersistWanted, now: Date): PersistState {
  if (result.kind === 'unanswered') return { state: 'unanswered', reason: result.reason }
  if (result.kind === 'absent') return { state: 'absent' }
  const states = result.values.map((value) => judgeValue(value, wanted, now))
  return states.toSorted((a, b) => rank(a) - rank(b))[0] ?? { state: 'absent' }
}

/** The record that makes a name valid for a CA and account for good, or until `persistUntil`. */
export function persistInstruction(
  name: string,
  wanted: { readonly issuerDomain: string; readonly accountUrl: string; readonly persistUntil?: Date },
): PersistInstruction {
  const { issuerDomain, accountUrl, persistUntil } = wanted
  const parts = [
    issuerDomain,
    `accounturi=${accountUrl}`,
    ...(name.startsWith('*.') ? ['policy=wildcard'] : []),
    ...(persistUntil === undefined ? [] : [`persistUntil=${Math.floor(persistUntil.getTime() / 1000)}`]),
  ]
  return { type: 'TXT', name: persistName(name), value: parts.join('; ') }
}

function judgeValue(value: string, { issuerDomains, accountUrl, isWildcard }: PersistWanted, now: Date): PersistState {
  const [issuer = '', ...parameters] = value.split(';').map((part) => part.trim())
  const domain = issuer.toLowerCase().replace(/\.$/, '')
  if (!issuerDomains.some((item) => item.toLowerCase().replace(/\.$/, '') === domain)) return { state: 'absent' }
  const read = readParameters(parameters)
  if (typeof read === 'string') return { state: 'malformed', detail: read }
  const account = read.get('accounturi') ?? null
  if (account !== accountUrl) return { state: 'wrong-account', accountUrl: account }
  const until = read.get('persistuntil')
  if (until !== undefined && !/^\d{1,11}$/.test(until))
    return { state: 'malformed', detail: `persistUntil=${until} is not a time in seconds since 1970` }
  const persistUntil = until === undefined ? null : new Date(Number(until) * 1000)
  if (persistUntil !== null && persistUntil <= now) return { state: 'expired', persistUntil }
  if (isWildcard && read.get('policy')?.toLowerCase() !== 'wildcard') return { state: 'no-wildcard' }
  return { state: 'found', persistUntil }
}

/** `tag=value` each, tags without regard to case; unknown ones are passed over. A text says what is wrong. */
function readParameters(parameters: readonly string[]): Map<string, string> | string {
  const read = new Map<string, string>()
  for (const parameter of parameters) {
    if (parameter === '') continue
    const match = /^([a-z0-9]+)\s*=\s*([\x21-\x3a\x3c-\x7e]*)$/i.exec(parameter)
    if (match === null) return `"${parameter.slice(0, 100)}" is not of the form tag=value`
    const tag = (match[1] ?? '').toLowerCase()
    if (read.has(tag)) return `${match[1]} is there twice`
    read.set(tag, match[2] ?? '')
  }
  return read
}

const ranks = ['found', 'expired', 'no-wildcard', 'wrong-account', 'malformed', 'absent', 'unanswered'] as const

/** A record that lasts longer is better than one that ends. */
function rank(state: PersistState): number {
  const lasts = state.state === 'found' && state.persistUntil !== null ? 1 / state.persistUntil.getTime() : 0
  return ranks.indexOf(state.state) + lasts
}
