import { expect, test } from 'vitest'
import { startTestDns } from '../dns.ts'
import {
  finish,
  issueByHttp,
  order,
  problemType,
  proveByHttp,
  registeredClient,
  send,
  startChallengeWeb,
} from './rig.ts'
import { type AcmeServer, startAcmeServer } from './server.ts'

type Order = (payload: object) => ReturnType<typeof send>

async function withOrders(
  options: Parameters<typeof startAcmeServer>[0],
  work: (ask: Order, ca: AcmeServer) => Promise<void>,
): Promise<void> {
  await using ca = await startAcmeServer(options)
  const client = await registeredClient(ca)
  const url = `${ca.directoryUrl.replace('/directory', '')}/acme/new-order`
  await work((payload) => send(ca, { url, payload, keyPem: client.accountPem, kid: client.getAccountUrl() }), ca)
}

const dns = (...values: string[]) => ({ identifiers: values.map((value) => ({ type: 'dns', value })) })

test('names are lower case and stand once; every identifier has its authorization', () =>
  withOrders({}, async (ask) => {
    const { data } = await ask(dns('Shop.TEST', 'shop.test', 'b.shop.test'))
    expect(data).toMatchObject({ status: 'pending', ...dns('shop.test', 'b.shop.test'), authorizations: { length: 2 } })
  }))

test.each<[string, object, string]>([
  ['no identifiers', {}, 'malformed'],
  ['an empty list', { identifiers: [] }, 'malformed'],
  ['an identifier without value', { identifiers: [{ type: 'dns' }] }, 'malformed'],
  ['another type', { identifiers: [{ type: 'email', value: 'a@shop.test' }] }, 'unsupportedIdentifier'],
  ['a date', { ...dns('shop.test'), notAfter: '2030-01-01T00:00:00Z' }, 'malformed'],
  ['an underscore', dns('a_b.shop.test'), 'malformed'],
  ['a dot at the end', dns('shop.test.'), 'malformed'],
  ['an empty label', dns('a..test'), 'malformed'],
  ['a label of 64', dns(`${'a'.repeat(64)}.test`), 'malformed'],
  ['letters that are not ASCII', dns('bücher.test'), 'malformed'],
  ['a wildcard in the middle', dns('a.*.test'), 'malformed'],
  ['half a wildcard', dns('a*.shop.test'), 'malformed'],
  ['one label', dns('localhost'), 'rejectedIdentifier'],
  ['an address as a name', dns('192.0.2.1'), 'rejectedIdentifier'],
  ['no address', { identifiers: [{ type: 'ip', value: '1.2.3' }], profile: 'shortlived' }, 'malformed'],
  [
    'an address that could be shorter',
    { identifiers: [{ type: 'ip', value: '2001:db8::0:1' }], profile: 'shortlived' },
    'malformed',
  ],
  ['a wildcard where no challenge can prove it', dns('*.shop.test'), 'rejectedIdentifier'],
  ['too many names', dns(...Array.from({ length: 101 }, (_, index) => `n${index}.test`)), 'malformed'],
])('an order with %s is refused', (_what, payload, type) =>
  withOrders({}, async (ask, ca) => {
    expect(problemType(await ask(payload))).toBe(type)
    expect(ca.log.of('order')).toHaveLength(0)
  }),
)

test('of several bad names each is a subproblem, the good ones are not', () =>
  withOrders({ rejectedNames: ['bank.test'] }, async (ask) => {
    const { status, data } = await ask(dns('good.test', 'bank.test', 'www.bank.test', 'a_b.test', 'mybank.test'))
    expect(status).toBe(400)
    const urn = (type: string) => `urn:ietf:params:acme:error:${type}`
    expect(data).toMatchObject({
      type: urn('rejectedIdentifier'),
      detail: expect.stringContaining('and 2 more problems'),
      subproblems: [
        { type: urn('rejectedIdentifier'), identifier: { type: 'dns', value: 'bank.test' } },
        { type: urn('rejectedIdentifier'), identifier: { type: 'dns', value: 'www.bank.test' } },
        { type: urn('malformed'), identifier: { type: 'dns', value: 'a_b.test' } },
      ],
    })
  }))

test('of several names the one that fails is the subproblem of the order', async () => {
  await using web = await startChallengeWeb()
  await using server = await startTestDns()
  server.set('A', 'good.test', ['127.0.0.1'])
  await using ca = await startAcmeServer({ httpPort: web.port, dnsServer: server.address })
  const client = await registeredClient(ca)
  const placed = await order(client, ['good.test', 'gone.test'])
  await expect(proveByHttp(client, web, placed)).rejects.toThrow(/NXDOMAIN/)
  const { status, error } = (await client.getOrder(placed)) as unknown as { status: string; error: object }
  expect(status).toBe('invalid')
  expect(error).toMatchObject({
    type: 'urn:ietf:params:acme:error:dns',
    subproblems: [{ type: 'urn:ietf:params:acme:error:dns', identifier: { type: 'dns', value: 'gone.test' } }],
  })
  await expect(finish(client, placed, ['good.test', 'gone.test'])).rejects.toThrow(/"invalid".*not acceptable/)
})

test('http-01 falls back from an IPv6 address that nobody listens at', async () => {
  await using web = await startChallengeWeb()
  await using server = await startTestDns()
  server.set('AAAA', 'shop.test', ['::1'])
  server.set('A', 'shop.test', ['127.0.0.1'])
  await using ca = await startAcmeServer({ httpPort: web.port, dnsServer: server.address })
  const client = await registeredClient(ca)
  await issueByHttp(client, web, ['shop.test'])
  expect(ca.log.of('validation')[0]?.target).toMatch(/ at 127\.0\.0\.1$/)
  server.set('A', 'shop.test', [])
  await expect(issueByHttp(client, web, ['shop.test'])).rejects.toThrow(/::1: Fetching .*Connection refused/)
})

test('many clients at once, with nonces refused: every order ends in one certificate of its own', async () => {
  await using web = await startChallengeWeb()
  await using ca = await startAcmeServer({ httpPort: web.port, nonceRejectPercent: 10, finalizeDelayMs: 20 })
  const clients = await Promise.all(Array.from({ length: 4 }, () => registeredClient(ca)))
  const names = Array.from({ length: 40 }, (_, index) => `n${index}.shop.test`)
  await Promise.all(
    clients.map(async (client, lane) => {
      for (const name of names.filter((_, index) => index % clients.length === lane))
        await issueByHttp(client, web, [name])
    }),
  )
  const issued = ca.log.of('issued')
  expect(issued.flatMap((entry) => entry.names).sort()).toEqual([...names].sort())
  expect(new Set(issued.map(({ serial }) => serial)).size).toBe(names.length)
  expect(new Set(issued.map(({ accountId }) => accountId)).size).toBe(clients.length)
  expect(ca.log.of('refused').every(({ type }) => type === 'badNonce')).toBe(true)
})
