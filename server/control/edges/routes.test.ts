import { randomUUID } from 'node:crypto'
import { expect, test } from 'vitest'
import { type AckMessage, LINK_PROTOCOL } from '../../contract/link.ts'
import { type ApiRig, createApiRig, type Kind, kinds } from '../../test/api.ts'
import { edgeRoutes } from './routes.ts'
import { createEdgeService } from './service.ts'
import { saveAck, saveHello } from './store.ts'

const createRig = (): Promise<ApiRig> => createApiRig({ routes: ({ db }) => [edgeRoutes(createEdgeService({ db }))] })

const ack: AckMessage = {
  type: 'ack',
  revision: 7,
  exceptions: [],
  workers: 2,
  runtime: 'bun 1.4.5',
  version: '0.1.0',
  httpsPort: 8443,
}

/** An edge that has connected, and with `isLive` confirmed revision 7. */
async function connected({ db }: ApiRig, feedId: string | null, isLive: boolean): Promise<string> {
  const edgeId = randomUUID()
  const publicKey = Buffer.alloc(32, 1).toString('base64')
  const hello = { type: 'hello', protocol: LINK_PROTOCOL, channel: 'records', edgeId, name: 'edge-1' } as const
  await saveHello(db, { ...hello, publicKey, feedId, revision: 0 }, 0)
  const refused = { kind: 'certificate', key: 'aa', revision: 3, state: 'refused', reason: 'damaged' } as const
  if (isLive) await saveAck(db, { edgeId, feedId, ack, exceptions: [refused] })
  return edgeId
}

async function installed({ db }: ApiRig): Promise<string> {
  const feedId = randomUUID()
  await db.installation.upsert({
    where: { id: 1 },
    create: { feedId, revision: 10n, masterKeyCheck: Buffer.from('x') },
    update: { feedId, revision: 10n },
  })
  return feedId
}

const expected: Record<Kind, { readonly read: number; readonly remove: number }> = {
  guest: { read: 401, remove: 401 },
  stranger: { read: 403, remove: 403 },
  viewer: { read: 403, remove: 403 },
  member: { read: 403, remove: 403 },
  owner: { read: 403, remove: 403 },
  support: { read: 200, remove: 403 },
  admin: { read: 200, remove: 204 },
}

test('the platform’s people read edges, admins alone forget them', async () => {
  await using rig = await createRig()
  const feedId = await installed(rig)
  for (const kind of kinds) {
    const id = await connected(rig, feedId, false)
    const calls = { list: '/edges', one: `/edges/${id}` }
    for (const url of Object.values(calls)) {
      expect((await rig.as(kind).inject({ url })).statusCode, `${kind} ${url}`).toBe(expected[kind].read)
    }
    const removed = await rig.as(kind).inject({ method: 'DELETE', url: `/edges/${id}` })
    expect(removed.statusCode, `${kind} removes`).toBe(expected[kind].remove)
  }
})

test('an edge shows what it holds, how far behind it is, and what it does not serve', async () => {
  await using rig = await createRig()
  const feedId = await installed(rig)
  const id = await connected(rig, feedId, true)
  const old = await connected(rig, randomUUID(), true)
  const one = (await rig.as('admin').inject({ url: `/edges/${id}` })).json()
  expect(one).toMatchObject({ id, name: 'edge-1', isLive: true, feedId, isCurrentFeed: true, revision: 7, lag: 3 })
  expect(one).toMatchObject({ workers: 2, runtime: 'bun 1.4.5', version: '0.1.0', httpsPort: 8443, exceptionCount: 1 })
  expect(one.exceptions).toEqual([{ kind: 'certificate', key: 'aa', revision: 3, state: 'refused', reason: 'damaged' }])
  const list = (await rig.as('admin').inject({ url: '/edges' })).json()
  const lagOf = (edgeId: string): unknown => list.items.find((item: { id: string }) => item.id === edgeId).lag
  expect([lagOf(id), lagOf(old)]).toEqual([3, 10])
  expect((await rig.as('admin').inject({ url: `/edges/${randomUUID()}` })).statusCode).toBe(404)
})

test('a live edge cannot be forgotten; a dry run forgets nothing', async () => {
  await using rig = await createRig()
  const feedId = await installed(rig)
  const live = await connected(rig, feedId, true)
  const refused = await rig.as('admin').inject({ method: 'DELETE', url: `/edges/${live}` })
  expect(refused.json()).toMatchObject({ status: 409, code: 'IN_USE' })
  await rig.db.$executeRaw`update edge set lease_expires_at = now() - interval '1 second'`
  const dry = await rig.as('admin').inject({ method: 'DELETE', url: `/edges/${live}?dryRun=true` })
  expect([dry.statusCode, await rig.db.edge.count()]).toEqual([204, 1])
  await rig.as('admin').inject({ method: 'DELETE', url: `/edges/${live}` })
  expect([await rig.db.edge.count(), await rig.db.edgeException.count()]).toEqual([0, 0])
  expect(await rig.db.event.findFirst({ where: { action: 'edge.deleted' } })).toMatchObject({ subjectId: live })
  expect(await saveAck(rig.db, { edgeId: live, feedId, ack, exceptions: null })).toBe(false)
})
