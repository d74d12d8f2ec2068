import { expect, test } from 'vitest'
import { type RateLimitOptions, registeredDomains } from './limits.ts'
import {
  type ChallengeWeb,
  finish,
  issueByHttp,
  order,
  proveByHttp,
  registeredClient,
  send,
  startChallengeWeb,
  type TestClient,
} from './rig.ts'
import { type AcmeServer, startAcmeServer } from './server.ts'

const HOUR = 3_600_000
/** 2026-11-28 12:00:00 UTC: dates in texts are asserted whole. */
const NOON = Date.UTC(2026, 10, 28, 12)

type Rig = {
  ca: AcmeServer
  client: TestClient
  clock: { now: number }
  web: ChallengeWeb
  issue: (names: string[], more?: object) => Promise<unknown>
  /** The refusal of an order: status, Retry-After and text; null when it is placed. */
  refusal: (
    names: string[],
    more?: object,
  ) => Promise<{ status: number; retryAfter: string | undefined; detail: string } | null>
}

/** Names of one test's own, so that only one limit counts. */
async function withLimits(limits: RateLimitOptions, work: (rig: Rig) => Promise<void>): Promise<void> {
  await using web = await startChallengeWeb()
  const clock = { now: NOON }
  await using ca = await startAcmeServer({ httpPort: web.port, limits, clock: () => clock.now })
  const client = await registeredClient(ca)
  const url = `${ca.directoryUrl.replace('/directory', '')}/acme/new-order`
  await work({
    ca,
    client,
    clock,
    web,
    issue: (names, more) => issueByHttp(client, web, names, more),
    async refusal(names, more = {}) {
      const payload = { identifiers: names.map((value) => ({ type: 'dns', value })), ...more }
      const { status, headers, data } = await send(ca, {
        url,
        payload,
        keyPem: client.accountPem,
        kid: client.getAccountUrl(),
      })
      if (status === 201) return null
      expect(data).toMatchObject({ type: 'urn:ietf:params:acme:error:rateLimited' })
      return { status, retryAfter: headers['retry-after'], detail: (data as { detail: string }).detail }
    },
  })
}

test('new orders of an account: so many at once, then one for each part of the period', () =>
  withLimits({ newOrdersPerAccount: { count: 3, periodSeconds: 10_800 } }, async ({ refusal, clock, ca }) => {
    for (const name of ['a.test', 'b.test', 'c.test']) expect(await refusal([name])).toBeNull()
    expect(await refusal(['d.test'])).toEqual({
      status: 429,
      retryAfter: '3600',
      detail:
        'too many new orders (3) from this account in the last 3h0m0s, retry after 2026-11-28 13:00:00 UTC: see https://letsencrypt.org/docs/rate-limits/#new-orders-per-account',
    })
    clock.now += HOUR - 1
    expect(await refusal(['d.test'])).toMatchObject({ retryAfter: '1' })
    clock.now += 1
    expect(await refusal(['d.test'])).toBeNull()
    expect(await refusal(['e.test'])).toMatchObject({ retryAfter: '3600' })
    expect(ca.log.of('limit').map(({ limit, isEnforced }) => [limit, isEnforced])).toEqual(
      Array.from({ length: 3 }, () => ['newOrdersPerAccount', true]),
    )
  }))

test("Let's Encrypt's own numbers are the default", () =>
  withLimits({}, async ({ refusal, ca }) => {
    for (let count = 0; count < 300; count++) expect(await refusal([`a${count}.test`])).toBeNull()
    expect(await refusal(['b.test'])).toMatchObject({
      retryAfter: '36',
      detail: expect.stringContaining('too many new orders (300)'),
    })
    expect(ca.limits.table).toMatchObject({
      certificatesPerDomain: { count: 50, periodSeconds: 604_800 },
      certificatesPerExactSet: { count: 5 },
    })
  }))

test('certificates of a registered domain are counted when issued; the same set again is a renewal', () =>
  withLimits({ certificatesPerDomain: { count: 2, periodSeconds: 604_800 } }, async ({ issue, refusal, clock }) => {
    await issue(['a.shop.co.uk'])
    await issue(['b.shop.co.uk'])
    expect(await refusal(['c.shop.co.uk', 'elsewhere.test'])).toEqual({
      status: 429,
      retryAfter: '302400',
      detail:
        'too many certificates (2) already issued for "shop.co.uk" in the last 168h0m0s, retry after 2026-12-02 00:00:00 UTC: see https://letsencrypt.org/docs/rate-limits/#new-certificates-per-registered-domain',
    })
    expect(await refusal(['elsewhere.co.uk'])).toBeNull()
    await issue(['a.shop.co.uk'])
    clock.now += 302_400_000
    await issue(['c.shop.co.uk'])
  }))

test('certificates of an exact set, in whatever order the names stand', () =>
  withLimits({}, async ({ issue, refusal, clock }) => {
    for (let count = 0; count < 5; count++) await issue(count % 2 === 0 ? ['a.test', 'b.test'] : ['b.test', 'a.test'])
    expect(await refusal(['b.test', 'a.test'])).toEqual({
      status: 429,
      retryAfter: '120960',
      detail:
        'too many certificates (5) already issued for this exact set of identifiers in the last 168h0m0s, retry after 2026-11-29 21:36:00 UTC: see https://letsencrypt.org/docs/rate-limits/#new-certificates-per-exact-set-of-identifiers',
    })
    expect(await refusal(['a.test'])).toBeNull()
    clock.now += 120_960_000
    expect(await refusal(['a.test', 'b.test'])).toBeNull()
  }))

test('a right `replaces` is exempt from all', () =>
  withLimits(
    {
      certificatesPerExactSet: { count: 1, periodSeconds: 604_800 },
      newOrdersPerAccount: { count: 1, periodSeconds: 3_600 },
    },
    async (rig) => {
      const { ca, issue, refusal } = rig
      await issue(['a.test'])
      expect(await refusal(['a.test'])).toMatchObject({ detail: expect.stringContaining('exact set') })
      expect(await refusal(['b.test'])).toMatchObject({ detail: expect.stringContaining('new orders') })
      const replaces = (): string => ca.log.of('issued').at(-1)?.certId ?? ''
      for (let count = 0; count < 3; count++) await issue(['a.test'], { replaces: replaces() })
      expect(ca.log.of('issued')).toHaveLength(4)
    },
  ))

/** An order whose one authorization fails for lack of an answer. */
async function failOnce({ ca, client }: Rig, name: string): Promise<void> {
  const before = ca.log.of('validation').length
  const [authorization] = await client.getAuthorizations(await order(client, [name]))
  await client.completeChallenge(authorization?.challenges[0] as never)
  await expect.poll(() => ca.log.of('validation').length, { timeout: 10_000 }).toBe(before + 1)
}

test('failed authorizations of a name', () =>
  withLimits({ newOrdersPerAccount: null }, async (rig) => {
    for (let count = 0; count < 5; count++) await failOnce(rig, 'a.test')
    expect(await rig.refusal(['a.test', 'b.test'])).toEqual({
      status: 429,
      retryAfter: '720',
      detail:
        'too many failed authorizations (5) for "a.test" in the last 1h0m0s, retry after 2026-11-28 12:12:00 UTC: see https://letsencrypt.org/docs/rate-limits/#authorization-failures-per-identifier-per-account',
    })
    expect(await rig.refusal(['b.test'])).toBeNull()
    rig.clock.now += 720_000
    expect(await rig.refusal(['a.test'])).toBeNull()
  }))

test('a name that fails too often in a row is paused until someone ends that', () =>
  withLimits({ consecutiveFailures: 2, failedAuthorizations: null }, async (rig) => {
    await failOnce(rig, 'a.test')
    await rig.issue(['a.test'])
    await failOnce(rig, 'a.test')
    expect(await rig.refusal(['a.test'])).toBeNull()
    await failOnce(rig, 'a.test')
    expect(await rig.refusal(['a.test'])).toMatchObject({
      retryAfter: undefined,
      detail: expect.stringContaining('temporarily prevented'),
    })
    rig.clock.now += 1_000 * HOUR
    expect(await rig.refusal(['a.test'])).not.toBeNull()
    rig.ca.limits.unpause(rig.ca.accountIds()[0] ?? '')
    expect(await rig.refusal(['a.test'])).toBeNull()
  }))

test('observed limits refuse nothing and log what would have been refused; they are switched while running', () =>
  withLimits({ mode: 'observed', newOrdersPerAccount: { count: 1, periodSeconds: 3_600 } }, async ({ ca, refusal }) => {
    expect(await refusal(['a.test'])).toBeNull()
    expect(ca.log.of('limit')).toEqual([])
    expect(await refusal(['b.test'])).toBeNull()
    expect(ca.log.of('limit')).toMatchObject([
      { limit: 'newOrdersPerAccount', isEnforced: false, retryAt: NOON + HOUR },
    ])
    ca.limits.mode = 'enforced'
    expect(await refusal(['c.test'])).toMatchObject({ status: 429 })
    ca.limits.mode = 'off'
    expect(await refusal(['c.test'])).toBeNull()
    expect(ca.log.of('limit')).toHaveLength(2)
  }))

test('orders that were placed together may issue above a limit; that is logged', () =>
  withLimits({ certificatesPerExactSet: { count: 1, periodSeconds: 3_600 } }, async ({ ca, client, web }) => {
    const placed = [await order(client, ['a.test']), await order(client, ['a.test'])]
    for (const item of placed) {
      await proveByHttp(client, web, item)
      await finish(client, item, ['a.test'])
    }
    expect(ca.log.of('issued')).toHaveLength(2)
    expect(ca.log.of('limit')).toMatchObject([{ limit: 'certificatesPerExactSet', key: 'a.test', isEnforced: false }])
  }))

test('new accounts of an address', async () => {
  await using ca = await startAcmeServer({ limits: { newAccountsPerAddress: { count: 2, periodSeconds: 10_800 } } })
  await registeredClient(ca)
  await registeredClient(ca)
  await expect(registeredClient(ca)).rejects.toThrow(
    /too many new registrations \(2\) from this IP address in the last 3h0m0s/,
  )
})

test('registered domains: private suffixes are suffixes, an IPv6 address counts by its /64', () => {
  const names = [
    '*.a.shop.co.uk',
    'b.shop.co.uk',
    'me.github.io',
    'shop.test',
    '192.0.2.1',
    '2001:db8::1',
    '2001:db8::2',
    '2001:db8:0:1::1',
  ]
  expect(registeredDomains(names)).toEqual([
    'shop.co.uk',
    'me.github.io',
    'shop.test',
    '192.0.2.1',
    '2001:db8:0:0::/64',
    '2001:db8:0:1::/64',
  ])
})
