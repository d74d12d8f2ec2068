import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { createReach } from '../../contract/reach.ts'
import { createDeadlines } from '../deadlines.ts'
import { plainConnection } from './connection.ts'
import type { RequestEntry } from './request-log.ts'
import { createHttpServers } from './servers.ts'

const sockets: Socket[] = []
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy()
})

/** A plain port with one name of one site; entries as they are made. */
async function plainPort() {
  const entries: RequestEntry[] = []
  const reader = {
    get: (kind: string, key: string) =>
      kind === 'name' && key === 'a.test' ? { siteId: 'site-a', certificates: ['f'] } : null,
    close: () => undefined,
  }
  const servers = createHttpServers({
    reader: reader as never,
    blobsFolder: '/nowhere',
    reach: createReach([]),
    deadlines: createDeadlines(),
    log: (entry) => entries.push(entry),
  })
  const server = createServer((socket) =>
    servers.acceptPlain(socket, plainConnection({ remoteAddress: '127.0.0.1', localAddress: () => '127.0.0.1' })),
  )
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  server.unref()
  const ask = async (text: string): Promise<void> => {
    const socket = connect((server.address() as { port: number }).port, '127.0.0.1')
    sockets.push(socket)
    socket.resume().end(text)
    await once(socket, 'close')
  }
  return { entries, ask }
}

test('a request that is answered, one for a foreign host and one that cannot be read make one entry each', async () => {
  const { entries, ask } = await plainPort()
  await ask('GET /x?y HTTP/1.1\r\nHost: a.test\r\nUser-Agent: me\r\nReferer: there\r\nConnection: close\r\n\r\n')
  await ask('GET / HTTP/1.0\r\nHost: b.test\r\n\r\n')
  await ask('GET / HTTP/1.1\r\nHost: b.test\r\nHost: a.test\r\n\r\n')
  await ask('nonsense\r\n\r\n')
  await expect.poll(() => entries.length).toBe(4)
  expect(entries[0]).toMatchObject({
    siteId: 'site-a',
    host: 'a.test',
    method: 'GET',
    target: '/x?y',
    protocol: 'HTTP/1.1',
    status: 301,
    bytes: 0,
    referer: 'there',
    userAgent: 'me',
  })
  expect(entries[0]?.reason).toBeUndefined()
  expect(entries[0]?.connection.remoteAddress).toBe('127.0.0.1')
  expect(entries[1]).toMatchObject({ siteId: null, protocol: 'HTTP/1.0', status: 404 })
  expect(entries[1]?.bytes).toBeGreaterThan(0)
  expect(entries.slice(2).map(({ status, reason }) => [status, reason])).toEqual([
    [400, 'bad-head'],
    [400, 'bad-head'],
  ])
})

test('requests behind each other are one entry each, in their order', async () => {
  const { entries, ask } = await plainPort()
  const one = (path: string) => `GET ${path} HTTP/1.1\r\nHost: a.test\r\n\r\n`
  await ask(one('/1') + one('/2') + one('/3'))
  await expect.poll(() => entries.map((entry) => entry.target)).toEqual(['/1', '/2', '/3'])
})
