import { AcmeProblem } from './problem.ts'
import type { NameResolver } from './resolve.ts'
import type { Settings } from './settings.ts'

type PersistChallenge = {
  readonly name: string
  readonly isWildcard: boolean
  readonly accountUrl: string
  readonly visit: (target: string) => void
}

type PersistRecord = { readonly issuer: string; readonly parameters: ReadonlyMap<string, string> }

/**
 * draft-ietf-acme-dns-persist: a TXT record at `_validation-persist` of the name, or, with `policy=wildcard`, of a name
 * above it, that names this CA and the account and has not run out. Throws `dns`, `malformed` or `unauthorized`.
 */
export async function validatePersist(
  challenge: PersistChallenge,
  resolver: NameResolver,
  settings: Pick<Settings, 'caaIdentities' | 'clock'>,
): Promise<void> {
  let problem: AcmeProblem | null = null
  const labels = challenge.name.split('.')
  for (let at = 0; at <= labels.length - 2; at++) {
    const place = `_validation-persist.${labels.slice(at).join('.')}`
    challenge.visit(place)
    const isBroad = challenge.isWildcard || at > 0
    for (const text of await resolver.texts(place)) {
      const fault = faultOf(text, { ...challenge, isBroad }, settings)
      if (fault === null) return
      // A record at the name itself tells more than one above it, one for us more than one for others.
      if (fault !== 'other')
        problem ??= new AcmeProblem(fault.type, `${fault.detail} at ${place}: ${JSON.stringify(text.slice(0, 200))}`)
    }
  }
  throw (
    problem ??
    new AcmeProblem('unauthorized', `No TXT record for this CA found at _validation-persist.${challenge.name}`)
  )
}

type Fault = 'other' | { readonly type: 'malformed' | 'unauthorized'; readonly detail: string }

function faultOf(
  text: string,
  { accountUrl, isBroad }: { accountUrl: string; isBroad: boolean },
  { caaIdentities, clock }: Pick<Settings, 'caaIdentities' | 'clock'>,
): Fault | null {
  const record = parse(text)
  if (record === null || !caaIdentities.includes(record.issuer)) return 'other'
  const { parameters } = record
  const until = parameters.get('persistuntil')
  if (until !== undefined && !/^\d{1,12}$/.test(until))
    return { type: 'malformed', detail: 'The persistUntil is no number of seconds' }
  const account = parameters.get('accounturi')
  if (account === undefined) return { type: 'malformed', detail: 'The record has no accounturi' }
  if (account !== accountUrl) return { type: 'unauthorized', detail: 'The record names another account' }
  if (until !== undefined && Number(until) * 1_000 < clock())
    return { type: 'unauthorized', detail: 'The persistUntil has passed' }
  if (isBroad && parameters.get('policy')?.toLowerCase() !== 'wildcard')
    return { type: 'unauthorized', detail: 'The record has no policy=wildcard' }
  return null
}

/** The issue-value syntax of RFC 8659 section 4.2; null for anything else, also for a parameter that comes twice. */
function parse(text: string): PersistRecord | null {
  const [issuer = '', ...rest] = text.split(';').map((part) => part.trim())
  const parameters = new Map<string, string>()
  for (const part of rest) {
    if (part === '') continue
    const match = /^([A-Za-z0-9]+)\s*=\s*([\x21-\x3a\x3c-\x7e]*)$/.exec(part)
    const key = match?.[1]?.toLowerCase()
    if (key === undefined || parameters.has(key)) return null
    parameters.set(key, match?.[2] ?? '')
  }
  return { issuer: issuer.toLowerCase().replace(/\.$/, ''), parameters }
}
