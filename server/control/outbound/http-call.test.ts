import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import { type AddressInfo, createServer as createTcpServer } from 'node:net'
import { expect, test } from 'vitest'
import { createReach } from '../../contract/reach.ts'
import { startTestDns } from '../../test/dns.ts'
import { createDialler, DialError } from './dialler.ts'
import { createHttpCaller, type HttpCall } from './http-call.ts'

const GET = { method: 'GET', headers: {}, maxBytes: 1_000, timeoutMs: 20_000 } as const

/** A web server on loopback under `api.test`, and a caller for which loopback counts as allowed. */
async function rig(listener: RequestListener, allowed: readonly string[] = ['127.0.0.1']) {
  const dns = await startTestDns()
  const server = createServer(listener)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const reach = createReach(allowed)
  const lookups = createDialler({ reach, dnsServers: [dns.address] })
  const call = createHttpCaller({ lookups, reach })
  dns.set('A', 'api.test', ['127.0.0.1'])
  const url = `http://api.test:${port}`
  return {
    dns,
    url,
    call,
    codeOf: (at: string, some: Partial<HttpCall> = {}) =>
      call(at, { ...GET, ...some }).then(
        ({ status }) => `answered ${status}`,
        (error: unknown) => (error instanceof DialError ? error.code : String(error)),
      ),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
      await dns[Symbol.asyncDispose]()
    },
  }
}

test('method, fields and body arrive; status, text and Retry-After come back', async () => {
  await using api = await rig(async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const seen = [request.method, request.url, request.headers.host?.split(':')[0], request.headers['x-key']]
    response.writeHead(503, { 'retry-after': '9' }).end(`${seen.join(' ')} ${Buffer.concat(chunks).toString()}`)
  })
  const answer = await api.call(`${api.url}/a?b=c`, {
    ...GET,
    method: 'PATCH',
    headers: { 'x-key': 'k' },
    body: '{"ä":1}',
  })
  expect(answer).toEqual({ status: 503, text: 'PATCH /a?b=c api.test k {"ä":1}', retryAfter: '9' })
})

test.each([
  ['http://10.0.0.1/', 'forbidden-address'],
  ['https://[::1]/', 'forbidden-address'],
  ['http://inside.test/', 'forbidden-address'],
  ['https://169.254.169.254/latest', 'forbidden-address'],
  ['http://public.test/', 'url'],
  ['ftp://api.test/', 'url'],
  ['https://user:word@api.test/', 'url'],
  ['nothing', 'url'],
  ['https://nobody.test/', 'dns'],
  ['http://127.0.0.1:1/', 'connect'],
])('%s: %s', async (url, code) => {
  await using api = await rig((_, response) => response.end('secret'))
  api.dns.set('A', 'inside.test', ['192.168.0.1'])
  api.dns.set('A', 'public.test', ['127.0.0.1', '192.88.98.1'])
  expect(await api.codeOf(url)).toBe(code)
})

test('a redirect is an answer and goes nowhere', async () => {
  const paths: (string | undefined)[] = []
  await using api = await rig((request, response) => {
    paths.push(request.url)
    response.writeHead(302, { location: 'http://127.0.0.1/' }).end()
  })
  expect(await api.codeOf(`${api.url}/x`)).toBe('answered 302')
  expect(paths).toEqual(['/x'])
})

test('what is too large, too slow, or no HTTP ends', async () => {
  await using large = await rig((_, response) => response.end('x'.repeat(1_001)))
  expect(await large.codeOf(large.url)).toBe('too-large')
  expect(await large.codeOf(large.url, { maxBytes: 1_001 })).toBe('answered 200')
  await using slow = await rig((_, response) => void response.write('x'))
  expect(await slow.codeOf(slow.url, { timeoutMs: 300 })).toBe('timeout')
  expect(await slow.codeOf(slow.url, { signal: AbortSignal.timeout(200) })).toBe('timeout')
  expect(await slow.codeOf(slow.url, { signal: AbortSignal.abort() })).toBe('timeout')
  const tcp = createTcpServer((socket) => socket.on('error', () => undefined).end('SSH-2.0-x\r\n'))
  tcp.listen(0, '127.0.0.1')
  await once(tcp, 'listening')
  const { port } = tcp.address() as AddressInfo
  expect(await slow.codeOf(`http://127.0.0.1:${port}/`)).toBe('protocol')
  expect(await slow.codeOf(`https://127.0.0.1:${port}/`)).toBe('protocol')
  tcp.close()
})
