import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createReach } from '../../../contract/reach.ts'
import { type NameServers, startNameServers, tsigKeys } from '../../../test/name-servers.ts'
import { createDialler } from '../../outbound/dialler.ts'
import { createHttpCaller } from '../../outbound/http-call.ts'
import { createAsk } from '../ask.ts'
import { decodeText, types } from '../dns-message.ts'
import { DnsProviderError } from '../provider.ts'
import { createRfc2136Provider, type Rfc2136Options } from './rfc2136.ts'

const signal = AbortSignal.timeout(120_000)
let servers: NameServers

beforeAll(async () => {
  servers = await startNameServers([
    { name: 'bind.test', at: 'bind', records: ['mail IN TXT "v=spf1 -all"'] },
    { name: 'bind-fixed.test', at: 'bind', isReadOnly: true },
    { name: 'knot.test', at: 'knot', records: ['mail IN TXT "v=spf1 -all"'] },
    { name: 'knot-fixed.test', at: 'knot', isReadOnly: true },
  ])
})
afterAll(async () => servers[Symbol.asyncDispose]())

type Choice = Partial<Omit<Rfc2136Options, 'key'>> & {
  key?: keyof typeof tsigKeys
  secret?: string
  keyName?: string
  algorithm?: 'hmac-sha256' | 'hmac-sha512'
  allowed?: string[]
}

function provider(at: 'bind' | 'knot', choice: Choice = {}) {
  const { key: known = 'acme-key', server = servers.primaries[at] } = choice
  const { zones = [`${at}.test`, `${at}-fixed.test`] } = choice
  const { secret, algorithm } = tsigKeys[known]
  const reach = createReach(choice.allowed ?? ['127.0.0.0/8'])
  const lookups = createDialler({ reach, dnsServers: [servers.resolver] })
  const key = {
    name: choice.keyName ?? known,
    algorithm: choice.algorithm ?? algorithm,
    secret: Buffer.from(choice.secret ?? secret, 'base64'),
  }
  return createRfc2136Provider({ server, zones, key }, { lookups, reach, call: createHttpCaller({ lookups, reach }) })
}

async function txt(at: 'bind' | 'knot', name: string): Promise<string[]> {
  const reach = createReach(['127.0.0.0/8'])
  const lookups = createDialler({ reach, dnsServers: [servers.resolver] })
  const ask = createAsk({ lookups, reach, dnsServers: [servers.resolver], port: servers.port })
  const { answers } = await ask.server(at === 'bind' ? '127.0.0.1' : '127.0.0.2', name, types.TXT, signal)
  return answers.filter(({ type }) => type === types.TXT).map(({ data }) => decodeText(data))
}

const codeOf = (work: Promise<void>): Promise<string> =>
  work.then(
    () => 'done',
    (error: unknown) => (error instanceof DnsProviderError ? `${error.code}: ${error.message}` : String(error)),
  )

describe.each(['bind', 'knot'] as const)('%s', (at) => {
  test.each(['acme-key', 'long-key.example'] as const)('values come and go side by side with %s', async (key) => {
    const dns = provider(at, { key })
    const name = `_acme-challenge.${key}.${at}.test`
    await dns.setTxt(name, 'one', signal)
    await dns.setTxt(name, 'two', signal)
    await dns.setTxt(name, 'two', signal)
    expect((await txt(at, name)).toSorted()).toEqual(['one', 'two'])
    await dns.removeTxt(name, 'one', signal)
    await dns.removeTxt(name, 'one', signal)
    expect(await txt(at, name)).toEqual(['two'])
    await dns.removeTxt(name, 'two', signal)
    expect(await txt(at, name)).toEqual([])
    await dns.removeTxt(name, 'never there', signal)
  })

  test('the values of others stay', async () => {
    await provider(at).setTxt(`mail.${at}.test`, 'ours', signal)
    expect(await txt(at, `mail.${at}.test`)).toHaveLength(2)
    await provider(at).removeTxt(`mail.${at}.test`, 'ours', signal)
    expect(await txt(at, `mail.${at}.test`)).toEqual(['v=spf1 -all'])
  })

  const other = Buffer.alloc(32, 'x').toString('base64')
  const name = `_acme-challenge.${at}.test`
  test.each<[string, Choice, string, RegExp]>([
    ['an unknown key', { keyName: 'nobody' }, name, /^credentials: .*does not know the key "nobody"/],
    ['a wrong secret', { secret: other }, name, /^credentials: .*signature of the key "acme-key"/],
    ['a wrong algorithm', { algorithm: 'hmac-sha512' }, name, /^credentials: /],
    [
      'a key that may not',
      { key: 'other' },
      name,
      /^(refused: .*Allow the key "other"|credentials: .*does not know the key "other", or not for)/,
    ],
    ['a zone without updates', {}, `_acme-challenge.${at}-fixed.test`, /^(refused: |credentials: .*or not for)/],
    ['a zone that is not there', { zones: ['nobody.test'] }, 'a.nobody.test', /^zone: .*not the primary server/],
    ['a name outside of the zones', { zones: ['fixed.test'] }, name, /^zone: .*none of the zones/],
    ['nothing that listens', { server: '127.0.0.9:1' }, name, /^unreachable: .*nothing answers/],
    ['an address that is not public', { allowed: [] }, name, /^forbidden-address: .*not public/],
    ['a name without an address', { server: `nobody.${at}.test` }, name, /^unreachable: .*no address/],
    ['no server', { server: 'http://x' }, name, /^config: /],
  ])('%s is refused and says why', async (_, choice, fqdn, expected) => {
    expect(await codeOf(Promise.resolve().then(() => provider(at, choice).setTxt(fqdn, 'v', signal)))).toMatch(expected)
    expect(await txt(at, fqdn).catch(() => [])).toEqual([])
  })
})

test.each<[string, (request: Buffer) => Buffer, RegExp]>([
  ['a yes without a signature', (request) => answerTo(request, 0), /^answer: .*proves nothing/],
  ['a no without a signature', (request) => answerTo(request, 5), /^refused: /],
  ['the request itself', (request) => request, /^answer: .*proves nothing/],
  ['what is no message', (request) => Buffer.concat([request.subarray(0, 2), Buffer.alloc(30, 0xff)]), /^answer: /],
])('a server that lies with %s is not believed', async (_, answer, expected) => {
  const liar = createServer((socket) => {
    socket.on('error', () => undefined)
    socket.once('data', (chunk: Buffer) => {
      const bytes = answer(chunk.subarray(2))
      socket.end(Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 255]), bytes]))
    })
  })
  liar.listen(0, '127.0.0.1')
  await once(liar, 'listening')
  const server = `127.0.0.1:${(liar.address() as AddressInfo).port}`
  const set = provider('bind', { server }).setTxt('_acme-challenge.bind.test', 'v', signal)
  expect(await codeOf(set)).toMatch(expected)
  liar.close()
})

/** An answer with this code and nothing else. */
function answerTo(request: Buffer, rcode: number): Buffer {
  const answer = Buffer.alloc(12)
  request.copy(answer, 0, 0, 2)
  answer.writeUInt16BE(0xa800 | rcode, 2)
  return answer
}
