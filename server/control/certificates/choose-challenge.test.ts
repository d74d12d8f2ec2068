import { expect, test } from 'vitest'
import { type ChallengeMeans, chooseChallenge } from './choose-challenge.ts'
import { type ChallengeType, challengeTypes } from './issuer.ts'

const means: ChallengeMeans = { hasPersistRecord: false, hasDnsProvider: false, failedType: null }
const offer = (types: readonly ChallengeType[], submitted: ChallengeType | null = null) =>
  types.map((type) => ({
    type,
    url: `https://ca.test/${type}`,
    token: 'token',
    keyAuthorization: 'token.thumb',
    isSubmitted: type === submitted,
    issuerDomains: [],
  }))
const all = offer(challengeTypes)

test.each<[string, boolean, Partial<ChallengeMeans>, string | undefined]>([
  ['a name', false, {}, 'http-01'],
  ['a name that failed over HTTP', false, { failedType: 'http-01' }, 'tls-alpn-01'],
  ['a name that failed over TLS', false, { failedType: 'tls-alpn-01' }, 'http-01'],
  ['a name with a DNS provider', false, { hasDnsProvider: true }, 'http-01'],
  ['a name with a lasting record', false, { hasPersistRecord: true }, 'dns-persist-01'],
  ['a wildcard', true, {}, undefined],
  ['a wildcard with a DNS provider', true, { hasDnsProvider: true }, 'dns-01'],
  ['a wildcard that failed in DNS', true, { hasDnsProvider: true, failedType: 'dns-01' }, 'dns-01'],
  ['a wildcard with a lasting record', true, { hasPersistRecord: true, hasDnsProvider: true }, 'dns-persist-01'],
])('%s is proven by the best that works', (_what, isWildcard, some, type) => {
  expect(chooseChallenge({ challenges: all, isWildcard }, { ...means, ...some })?.type).toBe(type)
})

test('what was begun is gone on with, and what is not offered is not chosen', () => {
  const begun = offer(['http-01', 'tls-alpn-01'], 'tls-alpn-01')
  expect(chooseChallenge({ challenges: begun, isWildcard: false }, means)?.type).toBe('tls-alpn-01')
  expect(chooseChallenge({ challenges: offer(['dns-01']), isWildcard: false }, means)).toBeNull()
})
