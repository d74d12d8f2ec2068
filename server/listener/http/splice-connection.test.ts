import { Duplex } from 'node:stream'
import { finished } from 'node:stream/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import type { TLSSocket } from 'node:tls'
import { expect, onTestFinished, test } from 'vitest'
import { createReach } from '../../contract/reach.ts'
import { siteRecord } from '../../test/listener-rig.ts'
import { startRawUpstream } from '../../test/raw-upstream.ts'
import { createDeadlines } from '../deadlines.ts'
import { type Connection, plainConnection } from './connection.ts'
import { FAREWELL_MS } from './limits.ts'
import type { RequestEntry } from './request-log.ts'
import { createHttpServers } from './servers.ts'

/** A visitor's connection that takes nothing until `take` is called, which resolves with all of it. */
function fullConnection() {
  let text = ''
  let isFull = true
  let goOn = (): void => {}
  const socket = new Duplex({
    writableHighWaterMark: 1024 * 1024,
    read: () => undefined,
    write(bytes: Buffer, _, done) {
      text += bytes.toString('latin1')
      if (isFull) goOn = done
      else done()
    },
  })
  const take = async (): Promise<string> => {
    isFull = false
    goOn()
    await finished(socket, { readable: false })
    return text
  }
  return { socket: socket as TLSSocket, take }
}

test('who takes the last answer slowly gets all of it', async () => {
  const upstream = await startRawUpstream((socket) => {
    socket.write('HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n')
    socket.write('x'.repeat(200_000))
  })
  const deadlines = createDeadlines()
  onTestFinished(() => {
    upstream.close()
    deadlines.close()
  })
  const records = new Map([
    ['site a', siteRecord('a', { kind: 'proxy', upstreams: [{ url: upstream.url, weight: 1 }] }).payload],
    ['name a.test', { siteId: 'a', certificates: ['f'] }],
  ])
  const entries: RequestEntry[] = []
  const servers = createHttpServers({
    reader: { get: (kind, key) => (records.get(`${kind} ${key}`) ?? null) as never },
    blobsFolder: '/nowhere',
    reach: createReach(['127.0.0.1/32']),
    deadlines,
    log: (entry) => entries.push(entry),
  })
  const { socket, take } = fullConnection()
  const connection: Connection = {
    ...plainConnection({ remoteAddress: '127.0.0.1', localAddress: () => '127.0.0.1' }),
    siteId: 'a',
    serverName: 'a.test',
    isSecure: true,
  }
  servers.accept(socket, 'http/1.1', connection)
  socket.push('GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n')
  await expect.poll(() => entries.length, { timeout: 20_000 }).toBe(1)
  expect(entries[0]).toMatchObject({ status: 200, bytes: 200_000 })
  await sleep(FAREWELL_MS + 1_000)
  expect(socket.destroyed).toBe(false)
  expect(await take()).toMatch(/\r\n\r\nx{200000}$/)
  // It does not end its own side: it is cut off.
  expect(socket.destroyed).toBe(false)
  await expect.poll(() => socket.destroyed, { timeout: 20_000 }).toBe(true)
})
