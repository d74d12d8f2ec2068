import { createPrivateKey, X509Certificate } from 'node:crypto'
import { crypto } from 'acme-client'
import { expect, test } from 'vitest'
import { generateKeyPem } from '../../control/certificates/keys.ts'
import { startTestDns } from '../dns.ts'
import { isChain, opensslVerify, splitChain } from './chains.ts'
import {
  finish,
  issueByHttp,
  order,
  prove,
  proveByHttp,
  registeredClient,
  send,
  startChallengeWeb,
  type TestClient,
} from './rig.ts'
import { type AcmeServer, startAcmeServer } from './server.ts'

type Order = Awaited<ReturnType<typeof order>>

async function offered(client: TestClient, placed: Order): Promise<string[]> {
  const [authorization] = await client.getAuthorizations(placed)
  return authorization?.challenges.map(({ type }) => type) ?? []
}

test('http-01: the certificate is right for node:crypto and OpenSSL, and so is its alternate chain', async () => {
  await using web = await startChallengeWeb()
  await using ca = await startAcmeServer({ httpPort: web.port })
  const client = await registeredClient(ca)
  const names = ['www.shop.test', 'shop.test']
  const { pem, keyPem, order: placed } = await issueByHttp(client, web, names)
  const [first, second] = ca.rootPems
  const [leaf] = splitChain(pem)

  expect(leaf?.subjectAltName).toBe('DNS:www.shop.test, DNS:shop.test')
  expect(leaf?.checkPrivateKey(createPrivateKey(keyPem))).toBe(true)
  expect(Math.abs((leaf?.validFromDate.getTime() ?? 0) - Date.now())).toBeLessThan(60_000)
  expect([isChain(pem, first), isChain(pem, second)]).toEqual([true, false])
  expect(opensslVerify(pem, first)).toBe('OK')
  expect(opensslVerify(pem, second)).not.toBe('OK')

  const rootName = /CN=(.*)/.exec(new X509Certificate(second).subject)?.[1]
  const alternate = await client.getCertificate(placed, rootName)
  expect(alternate).not.toBe(pem)
  expect(splitChain(alternate)[0]?.raw).toEqual(leaf?.raw)
  expect([isChain(alternate, first), isChain(alternate, second)]).toEqual([false, true])
  expect(opensslVerify(alternate, second)).toBe('OK')

  expect(ca.log.of('order')).toMatchObject([{ names, profile: 'classic', replaces: null }])
  expect(ca.log.of('validation').map(({ name, type, problem }) => [name, type, problem])).toEqual([
    ['www.shop.test', 'http-01', null],
    ['shop.test', 'http-01', null],
  ])
  expect(ca.log.of('finalized')).toHaveLength(1)
  expect(ca.log.of('download').map(({ chain }) => chain)).toEqual([0, 0, 1])
  expect(web.asked.map(({ host }) => host)).toEqual(['www.shop.test', 'shop.test'])
})

test('http-01 goes where DNS points, follows a redirect, and says what was wrong', async () => {
  await using web = await startChallengeWeb()
  await using dns = await startTestDns()
  await using ca = await startAcmeServer({ httpPort: web.port, dnsServer: dns.address })
  const client = await registeredClient(ca)
  dns.set('A', 'good.shop.test', ['127.0.0.1'])
  dns.set('A', 'target.test', ['127.0.0.1'])
  dns.set('A', 'refused.shop.test', ['127.0.0.2'])
  dns.fail('broken.shop.test', 'servfail')
  web.intercept = (incoming, reply) => {
    if (incoming.headers.host !== 'good.shop.test') return false
    reply.writeHead(302, { location: `http://target.test${incoming.url}` }).end()
    return true
  }
  await issueByHttp(client, web, ['good.shop.test'])
  expect(ca.log.of('validation')[0]?.target).toContain('http://target.test/.well-known/acme-challenge/')

  const failures: Record<string, RegExp> = {
    'refused.shop.test': /127\.0\.0\.2: Fetching http:\/\/refused.shop.test\/.*: Connection refused/,
    'missing.shop.test': /NXDOMAIN looking up A for missing.shop.test/,
    'broken.shop.test': /SERVFAIL looking up A/,
  }
  for (const [name, text] of Object.entries(failures)) {
    await expect(issueByHttp(client, web, [name]), name).rejects.toThrow(text)
  }
  web.intercept = (_incoming, reply) => {
    reply.end('something else')
    return true
  }
  await expect(issueByHttp(client, web, ['good.shop.test'])).rejects.toThrow(
    /did not match this challenge.*something else/,
  )
  const problems = ca.log.of('validation').map(({ problem }) => problem?.type)
  expect(problems).toEqual([undefined, 'connection', 'dns', 'dns', 'unauthorized'])
})

test('a redirect to another port or protocol is not followed, nor one in a circle', async () => {
  await using web = await startChallengeWeb()
  await using ca = await startAcmeServer({ httpPort: web.port })
  const client = await registeredClient(ca)
  for (const [location, text] of [
    ['http://other.test:8080/', /Invalid port or protocol/],
    ['ftp://other.test/', /Invalid port or protocol/],
    ['/.well-known/acme-challenge/again', /Too many redirects/],
  ] as const) {
    web.intercept = (_incoming, reply) => {
      reply.writeHead(301, { location }).end()
      return true
    }
    await expect(issueByHttp(client, web, ['a.shop.test']), location).rejects.toThrow(text)
  }
})

test('dns-01: a wildcard and its base by two records at one name', async () => {
  await using dns = await startTestDns()
  await using ca = await startAcmeServer({ dnsServer: dns.address })
  const client = await registeredClient(ca)
  const names = ['*.shop.test', 'shop.test']
  const placed = await order(client, names)
  expect(await offered(client, placed)).toEqual(['dns-01', 'dns-persist-01'])
  // The challenge's name is an alias into another zone, as delegation to a validation server is done.
  dns.set('CNAME', '_acme-challenge.shop.test', ['shop.validation.test'])
  await prove(client, placed, 'dns-01', (name, value) => {
    expect(name).toBe('shop.test')
    dns.set('TXT', 'shop.validation.test', [...dns.get('TXT', 'shop.validation.test'), value])
  })
  const { pem } = await finish(client, placed, names)
  expect(splitChain(pem)[0]?.subjectAltName).toBe('DNS:*.shop.test, DNS:shop.test')
  expect(opensslVerify(pem, ca.rootPems[0])).toBe('OK')
})

test.each([
  ['nothing', [], /No TXT record found at _acme-challenge.shop.test/],
  ['another value', ['wrong'], /Incorrect TXT record \\?"wrong/],
  ['two other values', ['wrong', 'too'], /and 1 more/],
])('dns-01 with %s fails', async (_what, values, text) => {
  await using dns = await startTestDns()
  await using ca = await startAcmeServer({ dnsServer: dns.address })
  const client = await registeredClient(ca)
  dns.set('TXT', '_acme-challenge.shop.test', values)
  const placed = await order(client, ['shop.test'])
  await expect(prove(client, placed, 'dns-01', () => undefined)).rejects.toThrow(text)
  expect(await client.getOrder(placed)).toMatchObject({
    status: 'invalid',
    error: {
      subproblems: [
        { type: 'urn:ietf:params:acme:error:unauthorized', identifier: { type: 'dns', value: 'shop.test' } },
      ],
    },
  })
})

test('addresses (RFC 8738) by http-01, without a common name; not by DNS, not in every profile', async () => {
  await using web = await startChallengeWeb()
  await using dns = await startTestDns()
  await using ca = await startAcmeServer({ httpPort: web.port, dnsServer: dns.address })
  const client = await registeredClient(ca)
  await expect(order(client, ['127.0.0.1'])).rejects.toThrow(/does not permit ip/)
  const placed = await order(client, ['127.0.0.1'], { profile: 'shortlived' })
  expect(placed.identifiers).toEqual([{ type: 'ip', value: '127.0.0.1' }])
  expect(await offered(client, placed)).toEqual(['http-01', 'tls-alpn-01'])
  await proveByHttp(client, web, placed)
  const { pem } = await finish(client, placed, ['127.0.0.1'])
  const [leaf] = splitChain(pem)
  expect([leaf?.subjectAltName, leaf?.subject]).toEqual(['IP Address:127.0.0.1', undefined])
  expect(leaf?.checkIP('127.0.0.1')).toBe('127.0.0.1')
  expect(opensslVerify(pem, ca.rootPems[0])).toBe('OK')
})

async function withSlowCa(
  work: (ca: AcmeServer, client: TestClient, placed: Order, clock: { now: number }) => Promise<void>,
): Promise<void> {
  await using web = await startChallengeWeb()
  const clock = { now: Date.now() }
  await using ca = await startAcmeServer({ httpPort: web.port, finalizeDelayMs: 30_000, clock: () => clock.now })
  const client = await registeredClient(ca)
  const placed = await order(client, ['shop.test'])
  await proveByHttp(client, web, placed)
  await work(ca, client, placed, clock)
}

test('an order that takes time is processing, with Retry-After, until its time has come', () =>
  withSlowCa(async (ca, client, placed, clock) => {
    const [, csr] = await crypto.createCsr({ altNames: ['shop.test'] }, await generateKeyPem())
    expect(await client.finalizeOrder(placed, csr)).toMatchObject({ status: 'processing' })
    clock.now += 29_999
    expect(await client.getOrder(placed)).toMatchObject({ status: 'processing' })
    const read = { url: placed.url, payload: null, keyPem: client.accountPem, kid: client.getAccountUrl() }
    expect((await send(ca, read)).headers['retry-after']).toBe('1')
    ca.settings.pollSeconds = 7
    expect((await send(ca, read)).headers['retry-after']).toBe('7')
    expect(ca.log.of('issued')).toHaveLength(0)
    clock.now += 1
    const valid = await client.getOrder(placed)
    expect(valid).toMatchObject({ status: 'valid', certificate: expect.stringContaining('/certificate/') })
    expect(await client.getCertificate(valid)).toContain('BEGIN CERTIFICATE')
    await expect(client.finalizeOrder(placed, csr)).rejects.toThrow(/"valid".*not acceptable for finalization/)
  }))

test('an order that nobody finishes is invalid after a week', () =>
  withSlowCa(async (_ca, client, placed, clock) => {
    clock.now += 7 * 86_400_000
    expect(await client.getOrder(placed)).toMatchObject({ status: 'invalid' })
  }))

test('authorizations serve again where the CA is set so, and not when deactivated', async () => {
  await using web = await startChallengeWeb()
  await using ca = await startAcmeServer({ httpPort: web.port, authorizationReuseSeconds: 600 })
  const client = await registeredClient(ca)
  await issueByHttp(client, web, ['shop.test'])
  const again = await order(client, ['shop.test'])
  expect(again.status).toBe('ready')
  const [authorization] = await client.getAuthorizations(again)
  await client.deactivateAuthorization(authorization as never)
  expect(await client.getOrder(again)).toMatchObject({ status: 'invalid' })
  const third = await order(client, ['shop.test'])
  expect(third.status).toBe('pending')
  expect(ca.log.of('validation')).toHaveLength(1)
})
