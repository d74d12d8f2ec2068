import { createHash, randomUUID } from 'node:crypto'
import { existsSync, statSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { frameSocket } from '../contract/frame-socket.ts'
import { LINK_PROTOCOL } from '../contract/link.ts'
import { generateSealKeyPair, unsealFrom } from '../contract/sealing.ts'
import { prune, publishBatch } from '../control/publish/sequence.ts'
import { createTestDatabase } from './database.ts'
import {
  renewCertificate,
  rigVault,
  seedCertificate,
  seedHostname,
  seedInstallation,
  seedTenant,
  settled,
  startEdgeRig,
  startPublishRig,
  temporaryFolder,
  until,
} from './publish-rig.ts'

const at = (folder: { path: string }, name: string): string => join(folder.path, name)
const digestOf = (content: Buffer): string => createHash('sha256').update(content).digest('hex')

/** A release of one file as the control plane keeps it: manifest and content. */
function release(text: string): { manifest: Buffer; digest: string; file: Buffer; fileDigest: string } {
  const file = Buffer.from(text)
  const fileDigest = digestOf(file)
  const index = { digest: fileDigest, bytes: file.length, type: 'text/html', encoded: {} }
  const manifest = Buffer.from(
    JSON.stringify({ version: 1, createdAt: '2026-01-01T00:00:00Z', files: { 'index.html': index } }),
  )
  return { manifest, digest: digestOf(manifest), file, fileDigest }
}

describe('the link', () => {
  test('a name goes live with its certificate, sealed to the edge, and a renewal replaces it', async () => {
    await using database = await createTestDatabase()
    await using folder = temporaryFolder()
    const { db } = database
    await seedInstallation(db)
    const seed = await seedTenant(db, 'one.test')
    await using rig = await startPublishRig(database, at(folder, 's'))
    await using edge = startEdgeRig(rig.socketPath, at(folder, 'edge'))
    const name = 'www.one.test'
    const certificate = await seedCertificate(db, rig.vault, seed.tenantId, [name])
    const id = await seedHostname(db, seed, name, certificate.id)
    const wanted = { id, name, siteId: seed.siteId, fingerprint: certificate.fingerprint }
    await until('the name is live', async () => (await rig.liveness.liveHostnames([wanted])).has(id))

    expect(edge.store.get('name', name)).toEqual({ siteId: seed.siteId, certificates: [certificate.fingerprint] })
    const record = edge.store.get('certificate', certificate.fingerprint)
    const key = unsealFrom(edge.keyPair, Buffer.from(record?.sealedKey ?? '', 'base64'), certificate.fingerprint)
    expect(key.toString()).toBe(`key ${certificate.fingerprint}`)
    expect(edge.store.get('ticket-key', 'current')).not.toBeNull()
    expect(edge.invalidated).toContain(`name ${name}`)
    expect(statSync(rig.socketPath).mode & 0o777).toBe(0o600)

    const next = await renewCertificate(db, rig.vault, certificate.id, [name])
    const renewed = { ...wanted, fingerprint: next }
    await until('the renewed one is live', async () => (await rig.liveness.liveHostnames([renewed])).has(id))
    await settled(db, edge)
    expect(edge.store.get('name', name)?.certificates).toEqual([next])
    expect(edge.store.get('certificate', certificate.fingerprint)).toBeNull()
    expect(await rig.liveness.liveHostnames([wanted])).toEqual(new Set())
  })

  test('nothing is live without an edge, and a wait ends by its time or its signal', async () => {
    await using database = await createTestDatabase()
    await using folder = temporaryFolder()
    await seedInstallation(database.db)
    const { siteId } = await seedTenant(database.db, 'one.test')
    await using rig = await startPublishRig(database, at(folder, 's'))
    const keys = [{ kind: 'site', key: siteId }] as const
    await until('it is published', async () => (await database.db.feedChange.count()) === 0)
    expect(await rig.liveness.areAcked(keys)).toBe(false)
    expect(await rig.liveness.awaitAcked(keys, new AbortController().signal, 100)).toBe(false)
    expect(await rig.liveness.awaitAcked(keys, AbortSignal.abort(), 60_000)).toBe(false)
    const waiting = rig.liveness.awaitAcked(keys, new AbortController().signal, 60_000)
    await using _edge = startEdgeRig(rig.socketPath, at(folder, 'edge'))
    expect(await waiting).toBe(true)
    expect(await rig.liveness.areAcked([{ kind: 'site', key: randomUUID() }])).toBe(false)
  })

  test('a site waits for its content, while what was served goes on and a challenge is not delayed', async () => {
    await using database = await createTestDatabase()
    await using folder = temporaryFolder()
    const { db } = database
    await seedInstallation(db)
    const seed = await seedTenant(db, 'one.test')
    const first = release('first')
    const second = release('second')
    await using rig = await startPublishRig(database, at(folder, 's'))
    await using edge = startEdgeRig(rig.socketPath, at(folder, 'edge'))
    const { id: siteId } = await db.site.create({ data: { tenantId: seed.tenantId, name: 'static', kind: 'static' } })
    const activate = async (number: number, manifestDigest: string): Promise<void> => {
      const { id } = await db.release.create({ data: { siteId, number, manifestDigest, files: 1, bytes: 5n } })
      await db.site.update({ where: { id: siteId }, data: { activeReleaseId: id } })
    }
    const site = [{ kind: 'site', key: siteId }] as const
    rig.blobs.set(first.digest, first.manifest).set(first.fileDigest, first.file)
    await activate(1, first.digest)
    await until('the first release is served', () => edge.store.get('site', siteId)?.manifest === first.digest)
    await until('and acked', () => rig.liveness.areAcked(site))
    const blob = join(edge.folder, 'blobs', first.fileDigest.slice(0, 2), first.fileDigest)
    expect(statSync(blob).mode & 0o777).toBe(0o640)

    rig.blobs.set(second.digest, second.manifest).set(second.fileDigest, Buffer.from('damaged'))
    await activate(2, second.digest)
    await challenge(db, seed, 'token-1')
    const key = 'http-01:token-1'
    expect(await rig.liveness.awaitAcked([{ kind: 'challenge', key }], new AbortController().signal, 60_000)).toBe(true)
    expect(edge.store.get('challenge', key)?.name).toBe('www.one.test')
    expect(edge.store.get('site', siteId)?.manifest).toBe(first.digest)
    await until(
      'the reason is told',
      async () => (await db.edgeException.findFirst())?.reason?.includes('digest') === true,
    )
    expect(await rig.liveness.areAcked(site)).toBe(false)

    rig.blobs.set(second.fileDigest, second.file)
    await until('the second release is served', () => edge.store.get('site', siteId)?.manifest === second.digest)
    await until('and acked', () => rig.liveness.areAcked(site))
    expect(await db.edgeException.count()).toBe(0)
    expect(existsSync(join(edge.folder, 'blobs', second.fileDigest.slice(0, 2), second.fileDigest))).toBe(true)
  })

  test('an address has the certificates of its site, that of the first name first, and one with RSA', async () => {
    await using database = await createTestDatabase()
    await using folder = temporaryFolder()
    const { db } = database
    await seedInstallation(db)
    const seed = await seedTenant(db, 'one.test')
    await using rig = await startPublishRig(database, at(folder, 's'))
    await using edge = startEdgeRig(rig.socketPath, at(folder, 'edge'))
    const make = async (name: string, keyAlgorithm: string): Promise<string> => {
      const { id, fingerprint } = await seedCertificate(db, rig.vault, seed.tenantId, [name])
      await db.certificateVersion.updateMany({ where: { fingerprint }, data: { keyAlgorithm } })
      await seedHostname(db, seed, name, id)
      return fingerprint
    }
    const wildcard = await make('*.one.test', 'ec prime256v1')
    const first = await make('one.test', 'ec prime256v1')
    await db.address.create({
      data: { address: '192.0.2.7', use: 'dedicated', state: 'allocated', siteId: seed.siteId, legacyTls: 'tls1_0' },
    })
    await settled(db, edge)
    expect(edge.store.get('address', '192.0.2.7')?.certificates).toEqual([first, wildcard])
    const rsa = await make('rsa.one.test', 'rsa 2048')
    await settled(db, edge)
    expect(edge.store.get('address', '192.0.2.7')?.certificates).toEqual([first, rsa, wildcard])
    expect(edge.store.get('certificate', rsa)).not.toBeNull()
    await db.hostname.deleteMany({ where: { name: 'one.test' } })
    await settled(db, edge)
    expect(edge.store.get('address', '192.0.2.7')?.certificates).toEqual([rsa])
  })

  test('a record that cannot be used is refused by itself, and the next one heals it', async () => {
    await using database = await createTestDatabase()
    await using folder = temporaryFolder()
    const { db } = database
    await seedInstallation(db)
    const seed = await seedTenant(db, 'one.test')
    await using rig = await startPublishRig(database, at(folder, 's'))
    await using edge = startEdgeRig(rig.socketPath, at(folder, 'edge'))
    const bad = await seedCertificate(db, rig.vault, seed.tenantId, ['bad.one.test'])
    await db.certificateVersion.update({
      where: { fingerprint: bad.fingerprint },
      data: { keySealed: Buffer.from('damaged') },
    })
    const badId = await seedHostname(db, seed, 'bad.one.test', bad.id)
    const good = await seedCertificate(db, rig.vault, seed.tenantId, ['good.one.test'])
    const goodId = await seedHostname(db, seed, 'good.one.test', good.id)
    const wanted = (id: string, name: string, fingerprint: string) => ({ id, name, siteId: seed.siteId, fingerprint })
    const rows = [wanted(badId, 'bad.one.test', bad.fingerprint), wanted(goodId, 'good.one.test', good.fingerprint)]
    await until('the good one is live', async () => (await rig.liveness.liveHostnames(rows)).has(goodId))
    expect(await rig.liveness.liveHostnames(rows)).toEqual(new Set([goodId]))
    const exception = await db.edgeException.findFirstOrThrow()
    expect(exception).toMatchObject({ kind: 'certificate', key: bad.fingerprint, state: 'refused' })
    expect(edge.store.refused()).toHaveLength(1)
    await db.hostname.delete({ where: { id: badId } })
    await until('the refusal is gone', async () => (await db.edgeException.count()) === 0)
    expect(edge.store.refused()).toEqual([])
  })
})

describe('feeds that are not the edge’s', () => {
  test('after a restore the edge takes everything anew, sweeps, and serves meanwhile', async () => {
    await using folder = temporaryFolder()
    const socket = at(folder, 's')
    await using old = await createTestDatabase()
    await seedInstallation(old.db)
    const seed = await seedTenant(old.db, 'one.test')
    for (const name of ['kept', 'gone']) await seedHostname(old.db, seed, `${name}.one.test`, null)
    await using edge = startEdgeRig(socket, at(folder, 'edge'))
    {
      await using _rig = await startPublishRig(old, socket)
      await settled(old.db, edge)
    }
    expect(edge.store.get('name', 'gone.one.test')).not.toBeNull()
    await until('the edge knows that it is cut off', () => !edge.link.isConnected)
    expect(edge.store.get('name', 'kept.one.test')).not.toBeNull()

    await using restored = await createTestDatabase()
    await seedInstallation(restored.db)
    const again = await seedTenant(restored.db, 'one.test')
    await seedHostname(restored.db, again, 'kept.one.test', null)
    edge.invalidated.length = 0
    await using _rig = await startPublishRig(restored, socket)
    const seen = new Set<boolean>()
    await until('the edge is on the new feed', async () => {
      seen.add(edge.store.get('name', 'kept.one.test') !== null)
      const { feedId } = await restored.db.installation.findUniqueOrThrow({ where: { id: 1 } })
      return edge.store.position().feedId === feedId
    })
    await settled(restored.db, edge)
    expect(seen).toEqual(new Set([true]))
    expect(edge.store.get('name', 'gone.one.test')).toBeNull()
    expect(edge.store.get('name', 'kept.one.test')).toEqual({ siteId: again.siteId, certificates: [] })
    expect(edge.invalidated).toContain('name gone.one.test')
  })

  test('a feed with the same id and a lower revision is taken anew as well', async () => {
    await using database = await createTestDatabase()
    await using folder = temporaryFolder()
    const { db } = database
    await seedInstallation(db)
    const seed = await seedTenant(db, 'one.test')
    await using edge = startEdgeRig(at(folder, 's'), at(folder, 'edge'))
    {
      await using _rig = await startPublishRig(database, at(folder, 's'))
      await seedHostname(db, seed, 'later.one.test', null)
      await settled(db, edge)
    }
    const late = await db.feedRecord.findFirstOrThrow({ where: { kind: 'name' } })
    await db.hostname.deleteMany()
    await db.$executeRaw`delete from feed_change`
    await db.feedRecord.deleteMany({ where: { revision: { gte: late.revision } } })
    await db.installation.update({ where: { id: 1 }, data: { revision: late.revision - 1n } })
    await using _rig = await startPublishRig(database, at(folder, 's'))
    await until('the name is swept', () => edge.store.get('name', 'later.one.test') === null)
    await settled(db, edge)
  })

  test('deletes are kept until every edge has passed them, and an edge that is older begins anew', async () => {
    await using database = await createTestDatabase()
    await using folder = temporaryFolder()
    const { db } = database
    await seedInstallation(db)
    const seed = await seedTenant(db, 'one.test')
    const id = await seedHostname(db, seed, 'gone.one.test', null)
    await using rig = await startPublishRig(database, at(folder, 's'))
    const identity = { edgeId: randomUUID(), keyPair: generateSealKeyPair() }
    await using current = startEdgeRig(rig.socketPath, at(folder, 'current'))
    {
      await using away = startEdgeRig(rig.socketPath, at(folder, 'away'), identity)
      await settled(db, away)
      await until('its ack is written', async () => {
        const row = await db.edge.findUnique({ where: { id: identity.edgeId } })
        return Number(row?.revision ?? 0) === away.store.position().revision
      })
    }
    await db.hostname.delete({ where: { id } })
    await settled(db, current)
    const deletes = (): Promise<number> =>
      db.$queryRaw<unknown[]>`select from feed_record where payload is null`.then((rows) => rows.length)
    await until('the delete is acked', async () => {
      const { revision } = await db.installation.findUniqueOrThrow({ where: { id: 1 } })
      return (await db.edge.findUnique({ where: { id: current.edgeId } }))?.revision === revision
    })
    await prune(db)
    expect(await deletes()).toBe(1)
    await db.$executeRaw`update edge set updated_at = now() - interval '8 days' where id = ${identity.edgeId}::uuid`
    await until('it is pruned', async () => (await prune(db)) === 1)
    expect(await deletes()).toBe(0)
    await using away = startEdgeRig(rig.socketPath, at(folder, 'away'), identity)
    await until('the name is swept', () => away.store.get('name', 'gone.one.test') === null)
    await settled(db, away)
  })
})

describe('a damaged edge', () => {
  test('begins with an empty file and takes everything anew', async () => {
    await using database = await createTestDatabase()
    await using folder = temporaryFolder()
    await seedInstallation(database.db)
    const { siteId } = await seedTenant(database.db, 'one.test')
    await using rig = await startPublishRig(database, at(folder, 's'))
    const identity = { edgeId: randomUUID(), keyPair: generateSealKeyPair() }
    {
      await using edge = startEdgeRig(rig.socketPath, at(folder, 'edge'), identity)
      await settled(database.db, edge)
    }
    writeFileSync(join(folder.path, 'edge', 'records.sqlite'), Buffer.alloc(20_000, 'x'))
    await using edge = startEdgeRig(rig.socketPath, at(folder, 'edge'), identity)
    await settled(database.db, edge)
    expect(edge.store.get('site', siteId)).not.toBeNull()
    expect(existsSync(join(folder.path, 'edge', 'records.sqlite.damaged'))).toBe(true)
  })
})

describe('peers that are not edges', () => {
  test.each([
    ['another protocol', { protocol: 99 }, /run the same version/],
    ['no id', { edgeId: 'x' }, /no id/],
    ['a key of another length', { publicKey: 'AAAA' }, /32 bytes/],
    ['another channel', { channel: 'x' }, /channel/],
    ['a revision that is none', { revision: -1 }, /revision/],
  ])('%s is refused with the reason', async (_, wrong, reason) => {
    await using database = await createTestDatabase()
    await using folder = temporaryFolder()
    await seedInstallation(database.db)
    await using rig = await startPublishRig(database, at(folder, 's'))
    const socket = frameSocket(connect(rig.socketPath))
    const hello = {
      type: 'hello',
      protocol: LINK_PROTOCOL,
      channel: 'records',
      edgeId: randomUUID(),
      name: 'x',
      publicKey: generateSealKeyPair().publicKey.toString('base64'),
      feedId: null,
      revision: 0,
    }
    await socket.send({ ...hello, ...wrong }, 5_000)
    expect(await socket.receive(30_000)).toMatchObject({ type: 'refusal', detail: expect.stringMatching(reason) })
    expect(await socket.receive(30_000)).toBeUndefined()
    expect(await database.db.edge.count()).toBe(0)
  })

  test('bytes that are no frame, and a peer that says nothing, are closed', async () => {
    await using database = await createTestDatabase()
    await using folder = temporaryFolder()
    await seedInstallation(database.db)
    await using rig = await startPublishRig(database, at(folder, 's'))
    const junk = connect(rig.socketPath)
    const closed = new Promise((resolve) => junk.on('close', resolve))
    junk.on('error', () => undefined).write(Buffer.alloc(64, 0xff))
    const silent = connect(rig.socketPath)
    const alsoClosed = new Promise((resolve) => silent.on('close', resolve))
    await Promise.all([closed, alsoClosed])
  })
})

describe('the sequencer', () => {
  test('two at once publish each change once, in revisions without a gap', async () => {
    await using database = await createTestDatabase()
    const { db } = database
    await seedInstallation(db)
    const seed = await seedTenant(db, 'one.test')
    const names = Array.from({ length: 120 }, (_, index) => `n${index}.one.test`)
    const write = async (): Promise<void> => {
      for (const name of names) await seedHostname(db, seed, name, null)
    }
    let isWriting = true
    const publish = async (): Promise<number> => {
      let published = 0
      for (;;) {
        const wasWriting = isWriting
        const result = await publishBatch(db, Date.now())
        if (result.state === 'done') published += result.published
        if (result.state === 'done' && result.marks === 0 && !wasWriting) return published
      }
    }
    const publishing = Promise.all([publish(), publish()])
    await write()
    isWriting = false
    const [one, other] = await publishing
    const records = await db.feedRecord.findMany({ orderBy: { revision: 'asc' } })
    expect(one + other).toBe(names.length + 1)
    expect(records.map(({ revision }) => Number(revision))).toEqual(records.map((_, index) => index + 1))
  })

  test('what did not change gets no revision, and a mark that names nothing stops nothing', async () => {
    await using database = await createTestDatabase()
    const { db } = database
    await seedInstallation(db)
    const seed = await seedTenant(db, 'one.test')
    await publishBatch(db, Date.now())
    const before = await db.installation.findUniqueOrThrow({ where: { id: 1 } })
    await db.$executeRaw`select feed_mark('site', ${seed.siteId}), feed_mark('site', 'x'), feed_mark('y', 'z')`
    expect(await publishBatch(db, Date.now())).toEqual({ state: 'done', marks: 3, published: 0 })
    expect(await db.installation.findUniqueOrThrow({ where: { id: 1 } })).toEqual(before)
  })

  test('what one transaction changed is published in one batch, however much it is', async () => {
    await using database = await createTestDatabase()
    const { db } = database
    await seedInstallation(db)
    const seed = await seedTenant(db, 'one.test')
    const data = { tenantId: seed.tenantId, kind: 'redirect', redirectTo: 'https://x.test/' } as const
    await publishBatch(db, Date.now())
    await db.site.createMany({ data: Array.from({ length: 1_200 }, (_, index) => ({ ...data, name: `s${index}` })) })
    await db.site.create({ data: { ...data, name: 'after' } })
    expect(await publishBatch(db, Date.now())).toEqual({ state: 'done', marks: 1_200, published: 1_200 })
    expect(await publishBatch(db, Date.now())).toEqual({ state: 'done', marks: 1, published: 1 })
  })

  test('an uploaded certificate is published when a hostname begins to use it, and withdrawn after', async () => {
    await using database = await createTestDatabase()
    const { db } = database
    await seedInstallation(db)
    const seed = await seedTenant(db, 'one.test')
    const { id: certificateId, fingerprint } = await seedCertificate(db, rigVault, seed.tenantId, ['a.one.test'])
    const id = await seedHostname(db, seed, 'a.one.test', null)
    await publishBatch(db, Date.now())
    const payload = async (): Promise<unknown> =>
      (await db.feedRecord.findFirst({ where: { kind: 'certificate', key: fingerprint } }))?.payload ?? null
    expect(await payload()).toBeNull()
    await db.hostname.update({ where: { id }, data: { certificateId } })
    await publishBatch(db, Date.now())
    expect(await payload()).toMatchObject({ chainPem: `chain ${fingerprint}`, sealedKey: '' })
    await db.hostname.delete({ where: { id } })
    await publishBatch(db, Date.now())
    expect(await payload()).toBeNull()
  })
})

type TestDb = Awaited<ReturnType<typeof createTestDatabase>>['db']

async function challenge(db: TestDb, seed: { tenantId: string }, token: string): Promise<void> {
  const name = 'www.one.test'
  const { id: certificateId } = await db.certificate.create({ data: { tenantId: seed.tenantId, names: [name] } })
  const directoryUrl = 'https://ca.test/'
  const { id: issuerId } = await db.issuer.create({ data: { name: randomUUID(), kind: 'acme', directoryUrl } })
  const keySealed = Buffer.from('x')
  const order = await db.order.create({ data: { certificateId, issuerId, names: [name], keySealed, state: 'pending' } })
  const urls = { url: 'https://ca.test/1', authorizationUrl: 'https://ca.test/2' }
  const data = { orderId: order.id, name, type: 'http-01', token, keyAuthorization: `${token}.x`, ...urls }
  await db.challenge.create({ data })
}
