import http2 from 'node:http2'
import { duplexPair } from 'node:stream'
import { text } from 'node:stream/consumers'
import type { TLSSocket } from 'node:tls'
import { expect, onTestFinished, test } from 'vitest'
import { createReach } from '../../contract/reach.ts'
import type { SiteRecord } from '../../contract/records.ts'
import { requestOn } from '../../test/http-requests.ts'
import { siteRecord } from '../../test/listener-rig.ts'
import { createDeadlines } from '../deadlines.ts'
import { type Connection, plainConnection } from './connection.ts'
import { createHttpServers } from './servers.ts'

const connection: Connection = {
  ...plainConnection({ remoteAddress: '127.0.0.1', localAddress: () => '127.0.0.1' }),
  siteId: 'a',
  serverName: 'a.test',
  isSecure: true,
}

/** Servers with one site, whose records cannot be read once `fail` was called. */
function failingServers(kind: SiteRecord['kind']) {
  let isFailing = false
  const reported: unknown[] = []
  const deadlines = createDeadlines()
  onTestFinished(() => deadlines.close())
  const { payload } = siteRecord('a', { kind })
  const servers = createHttpServers({
    reader: {
      get(table) {
        if (isFailing) throw new Error('disk I/O error')
        return (table === 'site' ? payload : { siteId: 'a', certificates: ['f'] }) as never
      },
    },
    blobsFolder: '/nowhere',
    reach: createReach([]),
    deadlines,
    report: (error) => reported.push(error),
  })
  const fail = (): void => {
    isFailing = true
    servers.invalidate([
      { kind: 'site', key: 'a' },
      { kind: 'name', key: 'a.test' },
    ])
  }
  const open = (protocol: 'h2' | 'http/1.1') => {
    const [visitor, socket] = duplexPair()
    onTestFinished(() => void visitor.destroy())
    servers.accept(socket as TLSSocket, protocol, connection)
    return visitor
  }
  return { fail, open, reported }
}

test.each(['static', 'proxy'] as const)('records of a %s site that cannot be read are 500', async (kind) => {
  const { fail, open, reported } = failingServers(kind)
  const request = 'GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n'
  const before = open('http/1.1')
  fail()
  const after = open('http/1.1')
  for (const visitor of [before, after]) {
    visitor.write(request)
    expect(await text(visitor)).toMatch(/^HTTP\/1\.1 500 /)
  }
  expect(reported.map(String)).toContain('Error: disk I/O error')
})

test('and so they are over HTTP/2', async () => {
  const { fail, open } = failingServers('static')
  const session = http2.connect('http://a.test', { createConnection: () => open('h2') })
  fail()
  const answer = await requestOn(session, { ':path': '/', ':authority': 'a.test' })
  expect(answer.status).toBe(500)
  session.destroy()
})
