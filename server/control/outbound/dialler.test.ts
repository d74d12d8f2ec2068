import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import { type AddressInfo, createServer as createTcpServer } from 'node:net'
import { describe, expect, test } from 'vitest'
import { createReach } from '../../contract/reach.ts'
import { startTestDns } from '../../test/dns.ts'
import { createDialler, DialError } from './dialler.ts'

const limits = { maxBytes: 1_000, timeoutMs: 20_000, redirects: 3 }

/** A DNS server and a web server on loopback, and a dialler for which loopback counts as allowed. */
async function rig(listener: RequestListener, allowed: readonly string[] = ['127.0.0.1/32']) {
  const dns = await startTestDns()
  const hosts: string[] = []
  const server = createServer((request, response) => {
    hosts.push(request.headers.host ?? '')
    listener(request, response)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const httpPort = (server.address() as AddressInfo).port
  const dialler = createDialler({ reach: createReach(allowed), dnsServers: [dns.address], httpPort })
  dns.set('A', 'site.test', ['127.0.0.1'])
  return {
    dns,
    hosts,
    dialler,
    codeOf: (url: string, some: Partial<typeof limits> = {}) =>
      dialler.fetchText(url, { ...limits, ...some }).then(
        (answer) => `answered ${answer.status}`,
        (error: unknown) => (error instanceof DialError ? error.code : String(error)),
      ),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
      await dns[Symbol.asyncDispose]()
    },
  }
}

test('a text is fetched from the judged address, under the name', async () => {
  await using web = await rig((request, response) => response.end(`hello ${request.url}`))
  const answer = await web.dialler.fetchText('http://site.test/a?b=c', limits)
  expect(answer).toEqual({ status: 200, text: 'hello /a?b=c', url: 'http://site.test/a?b=c' })
  expect(web.hosts).toEqual(['site.test'])
})

describe('never dialled', () => {
  test.each([
    'http://127.0.0.1/',
    'http://[::1]/',
    'http://[::ffff:127.0.0.1]/',
    'http://2130706433/',
    'http://0x7f.1/',
    'http://169.254.169.254/latest/meta-data/',
    'http://10.0.0.1/',
    'http://192.168.1.1/',
    'http://[fd00::1]/',
    'http://[fe80::1]/',
    'http://0.0.0.0/',
    'http://[64:ff9b::7f00:1]/',
    'http://loop.test/',
    'http://metadata.test/',
    'http://six.test/',
  ])('%s', async (url) => {
    await using web = await rig((_, response) => response.end('secret'), [])
    web.dns.set('A', 'loop.test', ['127.0.0.1', '10.1.2.3'])
    web.dns.set('A', 'metadata.test', ['169.254.169.254'])
    web.dns.set('AAAA', 'six.test', ['fd00:ec2::254', '::1'])
    expect(await web.codeOf(url)).toBe('forbidden-address')
    expect(web.hosts).toEqual([])
  })

  test.each([
    ['https://site.test/', 'url'],
    ['ftp://site.test/', 'url'],
    ['http://user:word@site.test/', 'url'],
    ['http://site.test:22/', 'url'],
    ['no url', 'url'],
    ['http://nobody.test/', 'dns'],
  ])('%s: %s', async (url, code) => {
    await using web = await rig((_, response) => response.end('secret'))
    expect(await web.codeOf(url)).toBe(code)
    expect(web.hosts).toEqual([])
  })

  test.each([
    ['http://127.0.0.2/', 'forbidden-address'],
    ['http://inside.test/', 'forbidden-address'],
    ['https://site.test/', 'redirect'],
    ['http://site.test:8080/', 'url'],
    ['file:///etc/passwd', 'url'],
    ['http://', 'redirect'],
  ])('a redirect to %s: %s', async (location, code) => {
    await using web = await rig((_, response) => response.writeHead(302, { location }).end())
    web.dns.set('A', 'inside.test', ['10.0.0.1'])
    expect(await web.codeOf('http://site.test/')).toBe(code)
    expect(web.hosts).toEqual(['site.test'])
  })
})

test('a name that changes its address after it was judged is not asked again', async () => {
  await using web = await rig((_, response) => {
    web.dns.set('A', 'site.test', ['10.0.0.1'])
    response.end('from the judged one')
  })
  const answer = await web.dialler.fetchText('http://site.test/', limits)
  expect(answer.text).toBe('from the judged one')
  expect(web.dns.questions.filter((question) => question === 'A site.test')).toHaveLength(1)
  expect(await web.codeOf('http://site.test/')).toBe('forbidden-address')
})

test('redirects within the limit are followed, each hop judged anew', async () => {
  await using web = await rig((request, response) => {
    const left = Number(request.url?.slice(1))
    if (left === 0) response.end('arrived')
    else response.writeHead(308, { location: `/${left - 1}` }).end()
  })
  expect((await web.dialler.fetchText('http://site.test/3', limits)).text).toBe('arrived')
  expect(await web.codeOf('http://site.test/4')).toBe('redirect')
})

test('of several addresses those that are allowed are tried until one connects', async () => {
  await using web = await rig((_, response) => response.end('here'), ['127.0.0.0/8'])
  web.dns.set('A', 'many.test', ['10.0.0.1', '127.0.0.9', '127.0.0.1'])
  expect((await web.dialler.fetchText('http://many.test/', limits)).text).toBe('here')
})

describe('limits', () => {
  test('an endless body is cut', async () => {
    await using web = await rig((_, response) => {
      const timer = setInterval(() => response.write('z'.repeat(400)), 1)
      response.on('close', () => clearInterval(timer))
    })
    expect(await web.codeOf('http://site.test/')).toBe('too-large')
  })

  test('a body that drips is cut at the deadline', async () => {
    await using web = await rig((_, response) => {
      const timer = setInterval(() => response.write('.'), 20)
      response.on('close', () => clearInterval(timer))
    })
    expect(await web.codeOf('http://site.test/', { timeoutMs: 300, maxBytes: 1_000_000 })).toBe('timeout')
  })

  test('a resolver that is silent is cut at the deadline', async () => {
    await using web = await rig((_, response) => response.end())
    web.dns.fail('silent.test', 'silence')
    expect(await web.codeOf('http://silent.test/', { timeoutMs: 200 })).toBe('timeout')
  })

  test('a head that is too large and a server that speaks no HTTP', async () => {
    await using web = await rig((_, response) => response.writeHead(200, { 'x-large': 'h'.repeat(20_000) }).end())
    expect(await web.codeOf('http://site.test/')).toBe('protocol')
    const tcp = createTcpServer((socket) => socket.on('error', () => undefined).end('SSH-2.0-x\r\n'))
    tcp.listen(0, '127.0.0.1')
    await once(tcp, 'listening')
    const httpPort = (tcp.address() as AddressInfo).port
    const dialler = createDialler({ reach: createReach(['127.0.0.1']), dnsServers: [web.dns.address], httpPort })
    await expect(dialler.fetchText('http://site.test/', limits)).rejects.toMatchObject({ code: 'protocol' })
    tcp.close()
  })
})
