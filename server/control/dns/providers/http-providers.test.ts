import { once } from 'node:events'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createReach } from '../../../contract/reach.ts'
import { createTestAuthority } from '../../../test/certificates.ts'
import { startCloudflareApi } from '../../../test/cloudflare-api.ts'
import { type NameServers, POWERDNS_KEY, startNameServers } from '../../../test/name-servers.ts'
import { createDialler } from '../../outbound/dialler.ts'
import { createHttpCaller } from '../../outbound/http-call.ts'
import { DnsProviderError } from '../provider.ts'
import { createCloudflareProvider } from './cloudflare.ts'
import { createPowerDnsProvider, type PowerDnsOptions } from './powerdns.ts'
import type { ProviderReach } from './reach.ts'
import { createWebhookProvider, webhookSignature } from './webhook.ts'

const signal = AbortSignal.timeout(120_000)
let servers: NameServers

beforeAll(async () => {
  servers = await startNameServers(
    [{ name: 'bind.test', at: 'bind', records: ['hook IN A 127.0.0.1', 'other IN A 127.0.0.1'] }],
    {
      powerdns: true,
    },
  )
})
afterAll(async () => servers[Symbol.asyncDispose]())

function outside(allowed: readonly string[] = ['127.0.0.0/8']): ProviderReach {
  const reach = createReach(allowed)
  const lookups = createDialler({ reach, dnsServers: [servers.resolver] })
  return { lookups, reach, call: createHttpCaller({ lookups, reach }) }
}

const codeOf = (work: Promise<void>): Promise<string> =>
  work.then(
    () => 'done',
    (error: unknown) => (error instanceof DnsProviderError ? `${error.code}: ${error.message}` : String(error)),
  )

describe('PowerDNS', () => {
  const make = (some: Partial<PowerDnsOptions> = {}, allowed?: readonly string[]) =>
    createPowerDnsProvider(
      { url: servers.powerDnsUrl, serverId: 'localhost', apiKey: POWERDNS_KEY, zones: ['power.test'], ...some },
      outside(allowed),
    )
  const txt = async (name: string): Promise<readonly string[]> => {
    const answer = await outside().lookups.lookupTxt(name)
    return answer.kind === 'found' ? answer.values.toSorted() : []
  }

  test('values come and go side by side, those of others stay', async () => {
    const dns = make()
    const name = 'taken.power.test'
    await dns.setTxt(name, 'one', signal)
    await dns.setTxt(name, 'two', signal)
    await dns.setTxt(name, 'two', signal)
    expect(await txt(name)).toEqual(['of somebody else', 'one', 'two'])
    await dns.removeTxt(name, 'one', signal)
    await dns.removeTxt(name, 'two', signal)
    await dns.removeTxt(name, 'two', signal)
    expect(await txt(name)).toEqual(['of somebody else'])
    await dns.setTxt('_acme-challenge.power.test', 'only', signal)
    expect(await txt('_acme-challenge.power.test')).toEqual(['only'])
    await dns.removeTxt('_acme-challenge.power.test', 'only', signal)
    expect(await txt('_acme-challenge.power.test')).toEqual([])
  })

  test.each<[string, Partial<PowerDnsOptions>, readonly string[] | undefined, RegExp]>([
    ['a wrong key', { apiKey: 'wrong' }, undefined, /^credentials: .*HTTP 401/],
    ['a zone that is not there', { zones: ['test'] }, undefined, /^(zone|refused): .*HTTP 4/],
    ['a wrong server', { serverId: 'other' }, undefined, /^zone: /],
    ['an address that is not public', {}, [], /^forbidden-address: /],
    ['http to a public address', { url: 'http://192.88.98.1/' }, undefined, /^config: .*https/],
    ['nothing that listens', { url: 'http://127.0.0.1:1/' }, undefined, /^unreachable: /],
  ])('%s', async (_, some, allowed, expected) => {
    expect(await codeOf(make(some, allowed).setTxt('a.power.test', 'v', signal))).toMatch(expected)
  })
})

describe('Cloudflare', () => {
  test('each value is a record; an identical one and one that is gone are no errors', async () => {
    await using api = await startCloudflareApi({ name: 'cloud.test', token: 'good' })
    const dns = createCloudflareProvider(
      { apiToken: 'good', zones: ['cloud.test'] },
      { ...outside(), cloudflareUrl: api.url },
    )
    api.records.push({ id: 'theirs', type: 'TXT', name: '_acme-challenge.cloud.test', content: 'theirs', ttl: 1 })
    for (const value of ['one', 'two', 'two']) await dns.setTxt('_acme-challenge.cloud.test', value, signal)
    expect(api.records.map(({ content }) => content)).toEqual(['theirs', '"one"', '"two"'])
    await dns.removeTxt('_acme-challenge.cloud.test', 'one', signal)
    await dns.removeTxt('_acme-challenge.cloud.test', 'one', signal)
    await dns.removeTxt('_acme-challenge.cloud.test', 'two', signal)
    expect(api.records.map(({ content }) => content)).toEqual(['theirs'])
  })

  test('what it refuses says why, and how long to wait', async () => {
    await using api = await startCloudflareApi({ name: 'cloud.test', token: 'good' })
    const make = (apiToken: string, zones: string[]) =>
      createCloudflareProvider({ apiToken, zones }, { ...outside(), cloudflareUrl: api.url })
    expect(await codeOf(make('bad', ['cloud.test']).setTxt('a.cloud.test', 'v', signal))).toMatch(
      /^credentials: .*Invalid access token/,
    )
    expect(await codeOf(make('good', ['other.test']).setTxt('a.other.test', 'v', signal))).toMatch(
      /^zone: .*other.test/,
    )
    api.failNext(429, '77')
    const busy = make('good', ['cloud.test']).setTxt('a.cloud.test', 'v', signal)
    await expect(busy).rejects.toMatchObject({ code: 'rate-limited', retryAfterMs: 77_000 })
    api.failNext(500)
    expect(await codeOf(make('good', ['cloud.test']).setTxt('a.cloud.test', 'v', signal))).toMatch(/^unreachable: /)
    api.failNext(302)
    expect(await codeOf(make('good', ['cloud.test']).setTxt('a.cloud.test', 'v', signal))).toMatch(/^config: /)
    expect(api.records).toEqual([])
  })
})

type Received = { readonly headers: Readonly<Record<string, unknown>>; readonly body: string }

/** An HTTPS server under a name of the test's zone, with a certificate of a CA that nobody else trusts. */
async function startReceiver(status: number, answer: string) {
  const authority = await createTestAuthority()
  const { chainPem, privateKeyPem } = await authority.issue(['hook.bind.test', '127.0.0.1'])
  const received: Received[] = []
  const server = createTlsServer({ key: privateKeyPem, cert: chainPem }, async (request, response) => {
    received.push({ headers: request.headers, body: await text(request) })
    response.writeHead(status).end(answer)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    caPem: authority.caPem,
    received,
    url: `https://hook.bind.test:${(server.address() as AddressInfo).port}/dns`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

describe('webhook', () => {
  const key = 'a key of the webhook'
  test('is called by https with a signature over time and body', async () => {
    await using receiver = await startReceiver(204, '')
    const dns = createWebhookProvider({ url: receiver.url, key, caPem: receiver.caPem, zones: ['own.test'] }, outside())
    await dns.setTxt('_acme-challenge.own.test', 'value', signal)
    await dns.removeTxt('_acme-challenge.own.test', 'value', signal)
    const bodies = receiver.received.map(({ body }) => JSON.parse(body) as Record<string, unknown>)
    expect(bodies).toMatchObject([
      { action: 'set', fqdn: '_acme-challenge.own.test', value: 'value', zone: 'own.test' },
      { action: 'remove', fqdn: '_acme-challenge.own.test', value: 'value', zone: 'own.test' },
    ])
    for (const { headers, body } of receiver.received) {
      const timestamp = Number(headers['nameplate-timestamp'])
      expect(Math.abs(Date.now() / 1000 - timestamp)).toBeLessThan(120)
      expect(headers['nameplate-signature']).toBe(`v1=${webhookSignature(key, timestamp, body)}`)
    }
  })

  test('what it refuses, a certificate that is not trusted, an address that is not allowed', async () => {
    await using receiver = await startReceiver(422, JSON.stringify({ detail: 'not this zone' }))
    const make = (caPem: string | undefined, allowed?: readonly string[], url = receiver.url) =>
      createWebhookProvider({ url, key, caPem, zones: ['own.test'] }, outside(allowed))
    const set = (dns: ReturnType<typeof make>) => codeOf(dns.setTxt('a.own.test', 'v', signal))
    expect(await set(make(receiver.caPem))).toMatch(/^refused: .*not this zone/)
    expect(receiver.received).toHaveLength(1)
    const byAddress = receiver.url.replace('hook.bind.test', '127.0.0.1')
    expect(await set(make(receiver.caPem, undefined, byAddress))).toMatch(/^refused: .*not this zone/)
    expect(await set(make(receiver.caPem, undefined, receiver.url.replace('hook.', 'other.')))).toMatch(
      /^answer: .*certificate/,
    )
    expect(receiver.received).toHaveLength(2)
    expect(await set(make(undefined))).toMatch(/^answer: .*certificate/)
    expect(await set(make(receiver.caPem, []))).toMatch(/^forbidden-address: /)
    expect(receiver.received).toHaveLength(2)
  })
})
