import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { challengeMark } from '../../../contract/challenge-answer.ts'
import { createReach } from '../../../contract/reach.ts'
import { createZoneRig, type ZoneRig } from '../../../test/zone-rig.ts'
import { createDnsClient } from '../../outbound/dns-client.ts'
import { createAsker } from './asker.ts'
import { judge } from './findings.ts'
import { gather } from './gather.ts'
import { followRoute } from './route.ts'

type Web = (host: string, path: string) => { status: number; headers?: Record<string, string>; body?: string }
const listener: Web = () => ({ status: 404, headers: { [challengeMark.field]: challengeMark.unknownToken } })

let rig: ZoneRig
let web: Web = listener
beforeAll(async () => {
  rig = await createZoneRig((request, response) => {
    const { status, headers = {}, body = '' } = web(request.headers.host ?? '', request.url ?? '')
    response.writeHead(status, headers).end(body)
  })
})
afterAll(() => rig[Symbol.asyncDispose]())
afterEach(() => {
  web = listener
  for (const dns of [rig.resolver, ...rig.servers]) dns.clear()
})

const noSignal = new AbortController().signal
const route = (host: string, max?: number) => followRoute(createAsker(rig.client, noSignal, max), host)
const right = { addresses: ['127.0.0.1', '::1'], cnameTarget: null }
const look = (name: string, isProbed = false) =>
  gather({ dialler: rig.dialler, dns: rig.client }, { name, right, isProbed, clockSkewMs: null })
const codes = async (name: string, isProbed = false) =>
  Object.fromEntries(judge(await look(name, isProbed), []).findings.map(({ code, status }) => [code, status]))

describe('addresses at the name servers', () => {
  test('count, not what a resolver has kept', async () => {
    rig.addZone('shop.test')
    rig.set('A', 'www.shop.test', ['192.0.2.10'])
    rig.resolver.set('A', 'www.shop.test', ['198.51.100.1'])
    const seen = await route('www.shop.test')
    expect(seen).toMatchObject({
      zone: 'shop.test',
      v4: { kind: 'found', addresses: ['192.0.2.10'] },
      v6: { kind: 'absent' },
      isByResolver: false,
      unreachable: [],
    })
    expect(seen.views.map(({ server }) => server)).toEqual(['ns1.shop.test', 'ns2.shop.test'])
    for (const server of rig.servers) expect(server.questions).toEqual(['A www.shop.test', 'AAAA www.shop.test'])
  })

  test('that differ from server to server are told', async () => {
    rig.addZone('shop.test')
    rig.set('A', 'www.shop.test', ['192.0.2.10'])
    rig.servers[1].set('A', 'www.shop.test', ['198.51.100.1'])
    expect((await codes('www.shop.test'))['NAME_SERVERS_DISAGREE']).toBe('warning')
    rig.servers[1].set('A', 'www.shop.test', [])
    rig.servers[1].set('CNAME', 'www.shop.test', ['elsewhere.test'])
    expect((await route('www.shop.test')).aliasDisagreement).toContain('ns2.shop.test: elsewhere.test')
  })

  test.each([
    ['silence', 'no answer in time'],
    ['refused', 'it answers with REFUSED'],
    ['servfail', 'it answers with SERVFAIL'],
    ['garbage', 'no answer in time'],
  ] as const)('one server with %s: the other counts', async (how, reason) => {
    rig.addZone('shop.test')
    rig.set('A', 'www.shop.test', ['192.0.2.10'])
    rig.servers[0].fail('www.shop.test', how)
    const seen = await route('www.shop.test')
    expect(seen.v4).toEqual({ kind: 'found', addresses: ['192.0.2.10'] })
    expect(seen.unreachable).toEqual([{ zone: 'shop.test', server: 'ns1.shop.test', reason }])
  })

  test('no server of the zone answers: the resolver does, and that is said', async () => {
    rig.addZone('shop.test')
    rig.set('A', 'www.shop.test', ['192.0.2.10'])
    for (const server of rig.servers) server.fail('www.shop.test', 'refused')
    const seen = await route('www.shop.test')
    expect(seen).toMatchObject({ isByResolver: true, v4: { kind: 'found', addresses: ['192.0.2.10'] } })
    expect(seen.unreachable).toHaveLength(2)
    expect(await codes('www.shop.test')).toMatchObject({ NAME_SERVERS_UNREACHABLE: 'unknown' })
  })

  test('a name server that answers for AAAA with a failure says nothing of AAAA, but of A', async () => {
    rig.addZone('shop.test')
    rig.set('A', 'www.shop.test', ['192.0.2.10'])
    for (const server of rig.servers) server.fail('www.shop.test', 'servfail', 'AAAA')
    expect(await route('www.shop.test')).toMatchObject({ v4: { kind: 'found' }, v6: { kind: 'unanswered' } })
  })

  test('name servers inside a private network are not asked', async () => {
    rig.addZone('shop.test')
    rig.set('A', 'www.shop.test', ['192.0.2.10'])
    const client = createDnsClient({ reach: createReach([]), dnsServers: [rig.resolver.address] })
    const seen = await followRoute(createAsker(client, noSignal), 'www.shop.test')
    expect(seen.isByResolver).toBe(true)
    expect(seen.unreachable[0]?.reason).toBe('its address is not public (127.0.0.2)')
    for (const server of rig.servers) expect(server.questions).toEqual([])
  })

  test('a server without an address, and a zone that the resolver does not know', async () => {
    rig.addZone('shop.test')
    rig.set('A', 'www.shop.test', ['192.0.2.10'])
    rig.set('A', 'ns2.shop.test', [])
    expect((await route('www.shop.test')).unreachable).toEqual([
      { zone: 'shop.test', server: 'ns2.shop.test', reason: 'it has no address' },
    ])
    expect(await route('nowhere.example')).toMatchObject({ zone: null, isByResolver: true, v4: { kind: 'absent' } })
  })
})

describe('aliases', () => {
  test('are followed into the zone that they lead to', async () => {
    rig.addZone('shop.test')
    rig.addZone('host.test')
    rig.set('CNAME', 'www.shop.test', ['edge.host.test'])
    rig.set('CNAME', 'edge.host.test', ['node.host.test'])
    rig.set('A', 'node.host.test', ['192.0.2.10'])
    // Only the second zone's servers know of its names.
    const seen = await route('www.shop.test')
    expect(seen.chain).toEqual(['www.shop.test', 'edge.host.test', 'node.host.test'])
    expect(seen.v4).toEqual({ kind: 'found', addresses: ['192.0.2.10'] })
  })

  test('in a circle, dangling, a hundred of them', async () => {
    rig.addZone('shop.test')
    rig.set('CNAME', 'a.shop.test', ['b.shop.test'])
    rig.set('CNAME', 'b.shop.test', ['a.shop.test'])
    rig.set('CNAME', 'self.shop.test', ['self.shop.test'])
    rig.set('CNAME', 'out.shop.test', ['gone.elsewhere.example'])
    for (let index = 0; index < 100; index++) rig.set('CNAME', `c${index}.shop.test`, [`c${index + 1}.shop.test`])
    rig.set('A', 'c100.shop.test', ['192.0.2.10'])
    expect((await route('a.shop.test')).end).toBe('loop')
    expect((await route('self.shop.test')).end).toBe('loop')
    expect((await route('c0.shop.test')).end).toBe('too-long')
    expect((await route('c90.shop.test')).end).toBe('addresses')
    expect((await route('c89.shop.test')).end).toBe('too-long')
    expect(await codes('out.shop.test')).toMatchObject({ CNAME_DANGLING: 'problem' })
    expect(await codes('a.shop.test')).toMatchObject({ CNAME_LOOP: 'problem' })
    expect(await codes('c0.shop.test')).toMatchObject({ CNAME_TOO_LONG: 'problem' })
  })

  test('questions are counted, and end', async () => {
    rig.addZone('shop.test')
    for (let index = 0; index < 9; index++)
      rig.set('CNAME', `c${index}.z${index}.test`, [`c${index + 1}.z${index + 1}.test`])
    for (let index = 0; index < 10; index++) rig.addZone(`z${index}.test`)
    const asker = createAsker(rig.client, noSignal, 20)
    const seen = await followRoute(asker, 'c0.z0.test')
    expect(asker.asked).toBe(20)
    const total = rig.resolver.questions.length + rig.servers[0].questions.length + rig.servers[1].questions.length
    expect(total).toBe(20)
    expect(seen.v4).toEqual({ kind: 'unanswered', reason: 'too many lookups were needed' })
  })
})

test('where everything is silent, all is unknown and nothing is blocked', async () => {
  for (const name of ['www.shop.test', 'shop.test', 'test']) rig.resolver.fail(name, 'silence')
  const seen = await codes('www.shop.test')
  expect(seen).toEqual({
    DNSSEC: 'unknown',
    CAA_UNANSWERED: 'unknown',
    ADDRESS_V4: 'unknown',
    ADDRESS_V6: 'unknown',
    PORT_80: 'unknown',
  })
}, 15_000)

describe('CAA', () => {
  test('is climbed to, by way of an alias, and its failures are seen', async () => {
    rig.set('CAA', 'shop.test', ['0 issue letsencrypt.org'])
    rig.set('CNAME', 'alias.shop.test', ['target.other.test'])
    rig.set('CAA', 'target.other.test', ['0 issue ;'])
    rig.resolver.fail('broken.shop.test', 'servfail', 'CAA')
    rig.resolver.fail('mute.shop.test', 'silence', 'CAA')
    const tree = async (name: string) => (await look(name)).caa
    expect(await tree('a.b.shop.test')).toMatchObject([
      { name: 'a.b.shop.test', result: { kind: 'absent' } },
      { name: 'b.shop.test', result: { kind: 'absent' } },
      { name: 'shop.test', result: { kind: 'found', records: [{ owner: 'shop.test', tag: 'issue' }] } },
      { name: 'test', result: { kind: 'absent' } },
    ])
    expect((await tree('alias.shop.test'))[0]?.result).toMatchObject({ records: [{ owner: 'target.other.test' }] })
    rig.set('A', 'broken.shop.test', ['127.0.0.1'])
    rig.set('A', 'mute.shop.test', ['127.0.0.1'])
    expect(await codes('broken.shop.test')).toMatchObject({ CAA_UNANSWERED: 'problem' })
    expect(await codes('mute.shop.test')).toMatchObject({ CAA_UNANSWERED: 'problem' })
  })
})

describe('port 80', () => {
  const found = async (name: string) => (await look(name, true)).probes
  test('answers as ours, on both families where both are', async () => {
    const asked: string[] = []
    web = (host, path) => {
      asked.push(`${host}${path}`)
      return listener(host, path)
    }
    rig.set('A', 'www.shop.test', ['127.0.0.1'])
    rig.set('AAAA', 'www.shop.test', ['::1'])
    expect(await found('www.shop.test')).toMatchObject([
      { family: 4, address: '127.0.0.1', result: { kind: 'ours' } },
      { family: 6, address: '::1', result: { kind: 'ours' } },
    ])
    expect(asked).toHaveLength(2)
    for (const url of asked) expect(url).toMatch(/^www\.shop\.test\/\.well-known\/acme-challenge\/[\w-]{32}$/)
    expect(new Set(asked).size).toBe(2)
    expect(await codes('www.shop.test', true)).toMatchObject({ PORT_80: 'ok', ADDRESS_V4: 'ok', ADDRESS_V6: 'ok' })
  })

  test.each<[string, ReturnType<Web>, object]>([
    [
      'another server',
      { status: 200, headers: { server: 'nginx' }, body: 'hello' },
      { kind: 'other', status: 200, server: 'nginx' },
    ],
    ['a 404 without the mark', { status: 404 }, { kind: 'other', status: 404, server: null }],
    [
      'the mark with another status',
      { status: 200, headers: { [challengeMark.field]: challengeMark.unknownToken } },
      { kind: 'other', status: 200 },
    ],
    [
      'a redirect elsewhere',
      { status: 301, headers: { location: 'https://else.test/' } },
      { kind: 'redirect', location: 'https://else.test/' },
    ],
    [
      'a redirect to metadata',
      { status: 302, headers: { location: 'http://169.254.169.254/' } },
      { kind: 'redirect', location: 'http://169.254.169.254/' },
    ],
    [
      'a redirect to itself',
      { status: 302, headers: { location: '/again' } },
      { kind: 'redirect', location: '/again' },
    ],
    ['a huge page', { status: 404, body: 'x'.repeat(200_000) }, { kind: 'other' }],
  ])('%s', async (_, answer, result) => {
    web = () => answer
    rig.set('A', 'www.shop.test', ['127.0.0.1'])
    expect(await found('www.shop.test')).toMatchObject([{ result }])
  })

  test('a redirect within the host is followed to us', async () => {
    web = (host, path) =>
      path.startsWith('/moved') ? listener(host, path) : { status: 302, headers: { location: `/moved${path}` } }
    rig.set('A', 'www.shop.test', ['127.0.0.1'])
    expect(await found('www.shop.test')).toMatchObject([{ result: { kind: 'ours' } }])
  })

  test('a CDN is known by its head; private addresses are not dialled; wildcards are not tried', async () => {
    web = () => ({ status: 522, headers: { server: 'cloudflare', 'cf-ray': '1' } })
    rig.set('A', 'www.shop.test', ['127.0.0.1'])
    rig.set('A', 'inside.shop.test', ['10.0.0.1'])
    expect(await found('www.shop.test')).toMatchObject([{ cdn: 'Cloudflare' }])
    expect(await found('inside.shop.test')).toMatchObject([{ result: { kind: 'unknown' } }])
    expect(await found('*.shop.test')).toBeNull()
  })
})
