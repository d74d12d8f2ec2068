import type { ChallengeType, RemoteAuthorization, RemoteChallenge } from './issuer.ts'

/** What is possible for one name here. */
export type ChallengeMeans = {
  /** A lasting record for this CA and account stands in DNS. */
  readonly hasPersistRecord: boolean
  /** A DNS provider controls the name. */
  readonly hasDnsProvider: boolean
  /** The type whose validation failed last time. */
  readonly failedType: string | null
}

/**
 * The challenge to answer, or null when none can be: a record that stands already costs nothing; names
 * are proven over HTTP, then in the TLS handshake, then in DNS; a wildcard in DNS alone (RFC 8555
 * section 7.1.3). What failed last time is tried last. Pure.
 */
export function chooseChallenge(
  { challenges, isWildcard }: Pick<RemoteAuthorization, 'challenges' | 'isWildcard'>,
  means: ChallengeMeans,
): RemoteChallenge | null {
  const begun = challenges.find((challenge) => challenge.isSubmitted)
  if (begun !== undefined) return begun
  const order = preference(isWildcard, means)
  const last = order.filter((type) => type === means.failedType)
  const ranked = [...order.filter((type) => type !== means.failedType), ...last]
  const offered = ranked.map((type) => challenges.find((challenge) => challenge.type === type))
  return offered.find((challenge) => challenge !== undefined) ?? null
}

function preference(isWildcard: boolean, { hasPersistRecord, hasDnsProvider }: ChallengeMeans): ChallengeType[] {
  const inDns: ChallengeType[] = hasDnsProvider ? ['dns-01'] : []
  const standing: ChallengeType[] = hasPersistRecord ? ['dns-persist-01'] : []
  return isWildcard ? [...standing, ...inDns] : [...standing, 'http-01', 'tls-alpn-01', ...inDns]
}
