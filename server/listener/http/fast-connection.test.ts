import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import type { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { duplexPair } from 'node:stream'
import { expect, onTestFinished, test } from 'vitest'
import { siteRecord, storeRelease } from '../../test/listener-rig.ts'
import { createDeadlines } from '../deadlines.ts'
import { type Connection, plainConnection } from './connection.ts'
import { type Content, createContent } from './content.ts'
import { createFastBodies } from './fast-body.ts'
import { serveFast } from './fast-connection.ts'
import { createFastSites } from './fast-sites.ts'
import { createHeldSet } from './held.ts'
import { createManifestCache } from './manifest-cache.ts'
import type { RequestEntry } from './request-log.ts'

const connection: Connection = {
  ...plainConnection({ remoteAddress: '127.0.0.1', localAddress: () => '127.0.0.1' }),
  siteId: 'a',
  serverName: 'a.test',
  isSecure: true,
}

/** A connection to a site with a small and a large file; `change` makes its content fail or wait. */
function fastConnection(change: (content: Content) => Content) {
  const folder = mkdtempSync(join(tmpdir(), 'nameplate-fast-'))
  const manifest = storeRelease(folder, { 'small.txt': 'small', 'large.bin': Buffer.alloc(2 * 1024 * 1024) })
  const { payload } = siteRecord('a', { manifest })
  const records = {
    epoch: 1,
    get: (kind: string) => (kind === 'site' ? payload : { siteId: 'a', certificates: ['f'] }) as never,
    drop: () => undefined,
  }
  const deadlines = createDeadlines()
  const content = change(createContent(folder))
  const entries: RequestEntry[] = []
  const [visitor, socket] = duplexPair()
  serveFast(socket as Socket, connection, {
    sites: createFastSites({ records, store: { content, manifests: createManifestCache(folder) } }),
    bodies: createFastBodies(content, deadlines),
    deadlines,
    open: createHeldSet(),
    log: (entry) => entries.push(entry),
    handOver: () => socket.destroy(new Error('nobody takes it')),
  })
  onTestFinished(() => {
    visitor.destroy()
    socket.destroy()
    deadlines.close()
    rmSync(folder, { recursive: true })
  })
  const get = (path: string): void => void visitor.write(`GET ${path} HTTP/1.1\r\nHost: a.test\r\n\r\n`)
  return { visitor, socket, entries, get }
}

test('a file that cannot be read on ends the connection, and is logged', async () => {
  const { visitor, socket, entries, get } = fastConnection((content) => ({
    ...content,
    async open(ref) {
      const file = await content.open(ref)
      await file.close()
      return file
    },
  }))
  const head = once(visitor, 'data')
  get('/large.bin')
  expect(String((await head)[0])).toMatch(/^HTTP\/1\.1 200 /)
  await expect.poll(() => socket.destroyed, { timeout: 20_000 }).toBe(true)
  expect(entries).toMatchObject([{ target: '/large.bin', status: 200, bytes: 0 }])
})

test.each(['/small.txt', '/large.bin'])('a visitor who leaves while %s is read is logged', async (path) => {
  const asked = Promise.withResolvers<void>()
  const gate = Promise.withResolvers<void>()
  const wait = async (): Promise<void> => {
    asked.resolve()
    await gate.promise
  }
  const { socket, entries, get } = fastConnection((content) => ({
    ...content,
    bytes: (ref) => wait().then(() => content.bytes(ref)),
    open: (ref) => wait().then(() => content.open(ref)),
  }))
  get(path)
  await asked.promise
  socket.destroy()
  gate.resolve()
  await expect.poll(() => entries, { timeout: 20_000 }).toMatchObject([{ target: path, status: 0, bytes: 0 }])
})
