import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { createServer } from 'node:net'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createReach } from '../../contract/reach.ts'
import { startTestDns } from '../../test/dns.ts'
import { freePorts } from '../../test/ports.ts'
import { createDnsClient } from './dns-client.ts'
import { type DnsReply, queryDns } from './dns-query.ts'

const limits = (timeoutMs = 3_000) => ({ timeoutMs, signal: new AbortController().signal })
const recursive = { isRecursive: true } as const
const reach = createReach(['127.0.0.0/8'])

function serverOf(address: string) {
  const [host = '', port] = address.split(':')
  return { address: host, port: Number(port) }
}

/** A UDP server that answers each question with what `answer` makes of it. */
async function rawServer(answer: (query: Buffer) => readonly Buffer[]) {
  const socket = createSocket('udp4')
  socket.on('message', (query, peer) => {
    for (const packet of answer(query)) socket.send(packet, peer.port, peer.address)
  })
  socket.bind(0, '127.0.0.1')
  await once(socket, 'listening')
  return { address: '127.0.0.1', port: socket.address().port, [Symbol.dispose]: () => void socket.close() }
}

test('records are read, each type as what it is', async () => {
  await using dns = await startTestDns()
  dns.set('CNAME', 'www.shop.test', ['Edge.Host.test'])
  dns.set('A', 'edge.host.test', ['192.0.2.1', '192.0.2.2'])
  dns.set('CAA', 'shop.test', ['0 issue letsencrypt.org; accounturi=https://x/1', '128 TBS '])
  dns.set('SOA', 'shop.test', ['ns1.shop.test'])
  const ask = (name: string, type: 'A' | 'CAA' | 'AAAA') =>
    queryDns(serverOf(dns.address), { name, type, ...recursive }, limits())
  expect(await ask('www.shop.test', 'A')).toMatchObject({
    kind: 'reply',
    code: 'NOERROR',
    answers: [
      { name: 'www.shop.test', type: 'CNAME', value: 'edge.host.test' },
      { name: 'edge.host.test', type: 'A', value: '192.0.2.1' },
      { type: 'A', value: '192.0.2.2' },
    ],
  })
  expect(await ask('shop.test', 'CAA')).toMatchObject({
    answers: [
      { type: 'CAA', flags: 0, tag: 'issue', value: 'letsencrypt.org; accounturi=https://x/1' },
      { type: 'CAA', flags: 128, tag: 'TBS', value: '' },
    ],
  })
  expect(await ask('none.shop.test', 'AAAA')).toMatchObject({
    code: 'NXDOMAIN',
    answers: [],
    authorities: [{ name: 'shop.test', type: 'SOA' }],
  })
})

test('an answer that is cut comes over TCP, and no more of it than a limit is kept', async () => {
  await using dns = await startTestDns()
  dns.set(
    'CAA',
    'huge.test',
    Array.from({ length: 500 }, (_, index) => `0 issue ca${index}.example; ${'x=y; '.repeat(8)}`),
  )
  const reply = await queryDns(serverOf(dns.address), { name: 'huge.test', type: 'CAA', ...recursive }, limits())
  expect(reply.kind === 'reply' && reply.answers.length).toBe(200)
  expect(dns.questions).toEqual(['257 huge.test', 'CAA huge.test'].map(() => 'CAA huge.test'))
})

test('a silent server, garbage, a refused port: an answer that there is none', async () => {
  await using dns = await startTestDns()
  dns.fail('silent.test', 'silence')
  dns.fail('garbage.test', 'garbage')
  const ask = (name: string) => queryDns(serverOf(dns.address), { name, type: 'A', ...recursive }, limits(300))
  expect(await ask('silent.test')).toEqual({ kind: 'none', reason: 'no answer in time' })
  expect(await ask('garbage.test')).toEqual({ kind: 'none', reason: 'no answer in time' })
  const [port = 0] = await freePorts(1)
  const none = await queryDns({ address: '127.0.0.1', port }, { name: 'a.test', type: 'A', ...recursive }, limits())
  expect(none).toEqual({ kind: 'none', reason: 'nothing answers there' })
})

test('the caller ends it at any time', async () => {
  await using dns = await startTestDns()
  dns.fail('silent.test', 'silence')
  const stop = new AbortController()
  const reply = queryDns(
    serverOf(dns.address),
    { name: 'silent.test', type: 'A', ...recursive },
    { timeoutMs: 60_000, signal: stop.signal },
  )
  stop.abort()
  expect((await reply).kind).toBe('none')
  const late = { timeoutMs: 60_000, signal: stop.signal }
  const after = await queryDns(serverOf(dns.address), { name: 'a.test', type: 'A', ...recursive }, late)
  expect(after.kind).toBe('none')
})

describe('packets that are not the answer', () => {
  const answered = (query: Buffer): Buffer => {
    const packet = Buffer.from(query.subarray(0, query.length - 11))
    packet.writeUInt16BE(0x8180, 2)
    packet.writeUInt16BE(0, 10)
    return packet
  }

  test('are passed over: another id, another question, a question sent back', async () => {
    using server = await rawServer((query) => {
      const otherId = answered(query)
      otherId.writeUInt16BE((query.readUInt16BE(0) + 1) % 65_536, 0)
      otherId.writeUInt16BE(0x8183, 2)
      const otherName = answered(query)
      otherName.write('x', 13, 'latin1')
      otherName.writeUInt16BE(0x8183, 2)
      return [otherId, otherName, query, Buffer.alloc(3), answered(query)]
    })
    const reply = await queryDns(server, { name: 'abc.test', type: 'A', ...recursive }, limits())
    expect(reply).toMatchObject({ kind: 'reply', code: 'NOERROR', answers: [] })
  })

  test('a server from before EDNS is asked again without it', async () => {
    const sizes: number[] = []
    using server = await rawServer((query) => {
      sizes.push(query.readUInt16BE(10))
      if (query.readUInt16BE(10) === 0) {
        const packet = Buffer.from(query)
        packet.writeUInt16BE(0x8180, 2)
        return [packet]
      }
      const refusal = Buffer.from(query.subarray(0, 12))
      refusal.writeUInt16BE(0x8181, 2)
      for (const at of [4, 6, 8, 10]) refusal.writeUInt16BE(0, at)
      return [refusal]
    })
    const reply = await queryDns(server, { name: 'old.test', type: 'A', ...recursive }, limits())
    expect(reply).toMatchObject({ kind: 'reply', code: 'NOERROR' })
    expect(sizes).toEqual([1, 0])
  })

  test('any bytes after a right head are an answer or none, never a throw (property)', async () => {
    let bytes = Buffer.alloc(0)
    using server = await rawServer((query) => {
      const head = answered(query)
      const counts = bytes.subarray(0, 6)
      counts.copy(head, 6)
      return [Buffer.concat([head, bytes.subarray(6)])]
    })
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ minLength: 6, maxLength: 300 }), async (some) => {
        bytes = Buffer.from(some)
        const reply: DnsReply = await queryDns(server, { name: 'fuzz.test', type: 'CAA', ...recursive }, limits(2_000))
        expect(['reply', 'none']).toContain(reply.kind)
      }),
      { numRuns: 200 },
    )
  })

  test('a TCP server that sends a length and then drips, or closes, or another answer', async () => {
    using server = await rawServer((query) => {
      const packet = answered(query)
      packet.writeUInt16BE(0x8380, 2)
      return [packet]
    })
    const ways = [Buffer.from([255, 255, 1]), null, Buffer.concat([Buffer.from([0, 20]), Buffer.alloc(20, 7)])]
    const tcp = createServer((socket) => {
      socket.on('error', () => undefined)
      socket.on('data', () => {
        const way = ways.shift()
        if (way == null) socket.destroy()
        else socket.write(way)
      })
    })
    tcp.listen(server.port, '127.0.0.1')
    await once(tcp, 'listening')
    const reasons = []
    for (const timeoutMs of [300, 3_000, 3_000]) {
      const reply = await queryDns(server, { name: 'cut.test', type: 'A', ...recursive }, limits(timeoutMs))
      reasons.push(reply.kind === 'none' ? reply.reason : reply)
    }
    expect(reasons).toEqual([
      'no answer in time',
      'the connection was closed without an answer',
      'what answers there does not speak DNS',
    ])
    tcp.close()
  })
})

describe('the client', () => {
  test('asks the next resolver when one gives no answer or refuses', async () => {
    await using good = await startTestDns()
    await using refusing = await startTestDns()
    good.set('A', 'a.test', ['192.0.2.1'])
    refusing.fail('a.test', 'refused')
    const [port] = await freePorts(1)
    const client = createDnsClient({ reach, dnsServers: [`127.0.0.1:${port}`, refusing.address, good.address] })
    expect(await client.askResolver({ name: 'a.test', type: 'A' }, limits())).toMatchObject({
      answers: [{ value: '192.0.2.1' }],
    })
  })

  test('never asks a name server whose address is not public', async () => {
    await using dns = await startTestDns({ host: '127.0.0.2' })
    const dnsPort = serverOf(dns.address).port
    const client = createDnsClient({ reach: createReach([]), dnsServers: [], dnsPort })
    const ask = { name: 'a.test', type: 'A' } as const
    for (const address of ['127.0.0.2', '10.0.0.1', '::1', '169.254.169.254', '::ffff:127.0.0.2'])
      expect(await client.askServer(address, ask, limits())).toMatchObject({
        kind: 'none',
        reason: expect.stringContaining('not public'),
      })
    expect(dns.questions).toEqual([])
    expect(await client.askResolver(ask, limits())).toEqual({ kind: 'none', reason: 'there is no resolver' })
  })

  test('a resolver written with a port, IPv6 too', async () => {
    const client = createDnsClient({ reach, dnsServers: ['[::1]:9', '::1'] })
    expect((await client.askResolver({ name: 'a.test', type: 'A' }, limits(300))).kind).toBe('none')
  })
})
