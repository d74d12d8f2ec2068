import { expect, test } from 'vitest'
import { startTestDns, type TestDns } from '../dns.ts'
import { finish, order, registeredClient, type TestClient } from './rig.ts'
import { type AcmeServer, startAcmeServer } from './server.ts'

const NOW = Date.UTC(2026, 10, 28, 12)
const NOW_SECONDS = NOW / 1_000

type Persist = { type: string; url: string; accounturi: string; 'issuer-domain-names': string[] }
type Rig = { dns: TestDns; ca: AcmeServer; client: TestClient }

async function withRig<T>(work: (rig: Rig) => Promise<T>): Promise<T> {
  await using dns = await startTestDns()
  await using ca = await startAcmeServer({
    dnsServer: dns.address,
    caaIdentities: ['ca.test', 'ca.example'],
    clock: () => NOW,
  })
  return await work({ dns, ca, client: await registeredClient(ca) })
}

/** Asks for the validation of one name's dns-persist-01: null when valid, else `type: detail`. */
async function outcome({ ca, client }: Rig, name: string): Promise<string | null> {
  const placed = await order(client, [name])
  const [authorization] = await client.getAuthorizations(placed)
  const challenge = authorization?.challenges.find((item) => (item.type as string) === 'dns-persist-01') as unknown as
    | Persist
    | undefined
  if (challenge === undefined) throw new Error('dns-persist-01 is not offered')
  expect(challenge).toMatchObject({
    accounturi: client.getAccountUrl(),
    'issuer-domain-names': ['ca.test', 'ca.example'],
  })
  expect(challenge).not.toHaveProperty('token')
  const before = ca.log.of('validation').length
  await client.completeChallenge(challenge as never)
  await expect.poll(() => ca.log.of('validation').length, { timeout: 10_000 }).toBe(before + 1)
  const problem = ca.log.of('validation').at(-1)?.problem ?? null
  const status = problem === null ? 'valid' : 'invalid'
  expect((await client.getAuthorizations(placed))[0]?.status).toBe(status)
  if (problem === null)
    expect(await finish(client, placed, [name])).toMatchObject({ pem: expect.stringContaining('CERTIFICATE') })
  return problem === null ? null : `${problem.type}: ${problem.detail}`
}

/** `URL` stands for the account's own. */
test.each<[string, string, readonly string[], RegExp | null]>([
  ['the record', 'shop.test', ['ca.test; accounturi=URL'], null],
  ["the CA's other name, other case, no space", 'shop.test', ['CA.example;AccountURI=URL'], null],
  [
    'one for another CA beside it',
    'shop.test',
    ['other.test; accounturi=https://x/1', 'ca.test; accounturi=URL'],
    null,
  ],
  ['parameters that are not known', 'shop.test', ['ca.test; accounturi=URL; future=1'], null],
  ['an end that is to come', 'shop.test', [`ca.test; accounturi=URL; persistUntil=${NOW_SECONDS}`], null],
  [
    'an end that has passed',
    'shop.test',
    [`ca.test; accounturi=URL; persistUntil=${NOW_SECONDS - 1}`],
    /^unauthorized: The persistUntil has passed/,
  ],
  [
    'an end that is no number',
    'shop.test',
    ['ca.test; accounturi=URL; persistUntil=tomorrow'],
    /^malformed: The persistUntil/,
  ],
  ['another account', 'shop.test', ['ca.test; accounturi=URLx'], /^unauthorized: The record names another account/],
  ['no account', 'shop.test', ['ca.test'], /^malformed: The record has no accounturi/],
  [
    'a parameter twice',
    'shop.test',
    ['ca.test; accounturi=URL; accounturi=URL'],
    /^unauthorized: No TXT record for this CA/,
  ],
  ['another CA', 'shop.test', ['other.test; accounturi=URL'], /^unauthorized: No TXT record for this CA/],
  ['nothing', 'shop.test', [], /^unauthorized: No TXT record for this CA found at _validation-persist.shop.test/],
  ['a wildcard with its policy', '*.shop.test', ['ca.test; accounturi=URL; policy=wildcard'], null],
  ['a wildcard with the policy in capitals', '*.shop.test', ['ca.test; accounturi=URL; policy=WILDCARD'], null],
  [
    'a wildcard without policy',
    '*.shop.test',
    ['ca.test; accounturi=URL'],
    /^unauthorized: The record has no policy=wildcard/,
  ],
  ['a name below with the policy above', 'a.b.shop.test', ['ca.test; accounturi=URL; policy=wildcard'], null],
  [
    'a name below without it',
    'a.shop.test',
    ['ca.test; accounturi=URL'],
    /^unauthorized: The record has no policy=wildcard/,
  ],
])('dns-persist-01: %s', (_what, name, records, expected) =>
  withRig(async (rig) => {
    const url = rig.client.getAccountUrl()
    rig.dns.set(
      'TXT',
      '_validation-persist.shop.test',
      records.map((text) => text.replace(/URL/g, url)),
    )
    const found = await outcome(rig, name)
    if (expected === null) expect(found).toBeNull()
    else expect(found).toMatch(expected)
  }),
)

test('dns-persist-01: a name server that fails is a problem of DNS', () =>
  withRig(async (rig) => {
    rig.dns.fail('_validation-persist.shop.test', 'servfail')
    expect(await outcome(rig, 'shop.test')).toMatch(/^dns: DNS problem: SERVFAIL/)
  }))
