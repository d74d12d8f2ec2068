import { readdirSync, readFileSync, rmSync, truncateSync, unlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { type BlobFetch, startBlobFetch } from '../listener/blob-fetch.ts'
import { createEdgeBlobs } from '../listener/blobs.ts'
import { openChannel } from '../listener/link-channel.ts'
import { digestOf } from './blob-folder.ts'
import { createTestAuthority } from './certificates.ts'
import { createTestDatabase } from './database.ts'
import { request } from './http-requests.ts'
import { type ListenerRig, nameRecord, runtimes, siteRecord, startListenerRig } from './listener-rig.ts'
import { type PublishRig, seedInstallation, silentLog, startPublishRig, temporaryFolder, until } from './publish-rig.ts'

const large = Buffer.alloc(3 * 1024 * 1024, 'large ')
const names = ['a.example.com', 'b.example.com', 'c.example.com', 'd.example.com', 'e.example.com', 'f.example.com']

describe.each(runtimes)('content that is lost on the disk of an edge on %s', (runtime) => {
  let rig: ListenerRig
  let publisher: PublishRig
  let fetch: BlobFetch | null = null
  const manifests = new Map<string, string>()
  const stack = new AsyncDisposableStack()
  beforeAll(async () => {
    const database = stack.use(await createTestDatabase())
    await seedInstallation(database.db)
    publisher = stack.use(await startPublishRig(database, join(stack.use(temporaryFolder()).path, 's')))
    const certificate = await (await createTestAuthority()).issue(names)
    rig = await startListenerRig({ runtime })
    for (const name of names) {
      const files = { 'index.html': `page of ${name}`, 'other.txt': `text of ${name}`, 'large.bin': large }
      manifests.set(name, rig.release({ ...files, 'own.bin': Buffer.concat([large, Buffer.from(name)]) }))
    }
    await rig.publish([
      rig.certificate(certificate),
      ...names.map((name) => nameRecord(name, name, certificate)),
      ...names.map((name) => siteRecord(name, { manifest: manifests.get(name) ?? null })),
    ])
    for (const path of readdirSync(rig.edge.blobs, { recursive: true, withFileTypes: true }))
      if (path.isFile()) publisher.blobs.set(path.name, readFileSync(join(path.parentPath, path.name)))
  })
  afterEach(async () => {
    await fetch?.close()
    fetch = null
  })
  afterAll(async () => {
    await rig.close()
    await stack.disposeAsync()
  })

  const pathOf = (digest: string) => join(rig.edge.blobs, digest.slice(0, 2), digest)
  const pathOfFile = (content: string | Buffer) => pathOf(digestOf(content))
  /** Same length, other bytes: only a digest tells. */
  const corrupt = (path: string) => {
    const bytes = readFileSync(path)
    bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1
    writeFileSync(path, bytes)
  }
  /** What the edge does beside its workers: connects to the control plane for content. */
  const startEdge = () => {
    const { identity } = rig.edge
    const signal = new AbortController().signal
    const options = { socketPath: publisher.socketPath, identity }
    fetch = startBlobFetch({
      store: rig.store,
      blobs: createEdgeBlobs(rig.edge.blobs),
      connect: () => openChannel(options, 'blobs', rig.store.position(), signal).then(({ frames }) => frames),
      onComplete: async () => undefined,
      onChange: () => undefined,
      log: silentLog,
    })
    rig.pool.onDiskFaults({ onBlob: fetch.repair })
  }
  const get = (host: string, path = '/') => request({ protocol: 'http/1.1', port: rig.httpsPort, host, path })
  /** Nobody may ever be sent wrong bytes; the right ones have to come again. */
  const heals = (host: string, path: string, content: string | Buffer) =>
    until(`${host}${path} is served`, async () => {
      const { status, body } = await get(host, path)
      if (status === 200) expect(digestOf(body)).toBe(digestOf(content))
      else expect(status).toBe(500)
      return status === 200
    })
  const isSound = (digest: string) => createEdgeBlobs(rig.edge.blobs).check({ digest }, 'bytes')

  test('while it runs: a file that is gone, damaged, cut off or whose manifest is', async () => {
    startEdge()
    // Otherwise the first look at the disk would find it all.
    await until('the start is over', async () => (await get('a.example.com', '/large.bin')).status === 200)
    await new Promise((resolve) => setTimeout(resolve, 300))
    unlinkSync(pathOfFile('page of b.example.com'))
    await heals('b.example.com', '/', 'page of b.example.com')
    corrupt(pathOfFile('text of b.example.com'))
    await heals('b.example.com', '/other.txt', 'text of b.example.com')
    const own = Buffer.concat([large, Buffer.from('b.example.com')])
    truncateSync(pathOfFile(own), 1_000_000)
    await heals('b.example.com', '/own.bin', own)
    unlinkSync(pathOfFile(own))
    await heals('b.example.com', '/own.bin', own)
    unlinkSync(pathOf(manifests.get('c.example.com') ?? ''))
    unlinkSync(pathOfFile('page of c.example.com'))
    await heals('c.example.com', '/', 'page of c.example.com')
    corrupt(pathOf(manifests.get('d.example.com') ?? ''))
    await heals('d.example.com', '/', 'page of d.example.com')
    expect(await isSound(manifests.get('d.example.com') ?? '')).toBe(true)
  }, 120_000)

  test('at the start: before anybody asks, also where only the bytes are wrong', async () => {
    const own = Buffer.concat([large, Buffer.from('e.example.com')])
    const digests = [manifests.get('e.example.com') ?? '', digestOf('page of e.example.com'), digestOf(own)]
    const [manifest = '', page = '', file = ''] = digests
    unlinkSync(pathOf(page))
    corrupt(pathOf(file))
    corrupt(pathOf(manifest))
    startEdge()
    for (const digest of digests) await until('it is whole again', () => isSound(digest))
    expect((await get('e.example.com')).body.toString()).toBe('page of e.example.com')
  }, 120_000)

  test('at the start: all of it', async () => {
    rmSync(rig.edge.blobs, { recursive: true })
    startEdge()
    for (const digest of publisher.blobs.keys()) await until('it is here', () => isSound(digest))
  }, 120_000)

  test('what the control plane has lost too stays an error, and is served when it is back', async () => {
    startEdge()
    const page = 'page of f.example.com'
    const kept = publisher.blobs.get(digestOf(page)) as Buffer
    publisher.blobs.delete(digestOf(page))
    unlinkSync(pathOfFile(page))
    expect((await get('f.example.com')).status).toBe(500)
    expect((await get('f.example.com')).status).toBe(500)
    publisher.blobs.set(digestOf(page), kept)
    await heals('f.example.com', '/', page)
  }, 120_000)

  test('a worker that names no blob changes nothing', async () => {
    startEdge()
    const beside = join(rig.edge.path, 'edge.key')
    fetch?.repair('../edge.key', 'file')
    fetch?.repair('', 'manifest')
    unlinkSync(pathOfFile('text of f.example.com'))
    await heals('f.example.com', '/other.txt', 'text of f.example.com')
    expect(readFileSync(beside, 'utf8')).not.toBe('')
  }, 120_000)
})
