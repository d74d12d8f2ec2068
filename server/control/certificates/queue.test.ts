import { randomUUID } from 'node:crypto'
import { expect, test } from 'vitest'
import { startAcmeServer } from '../../test/acme-server/server.ts'
import {
  certificateInState,
  createTenantSite,
  createVerifiedHostname,
  startManager,
  startResponder,
  useAcme,
} from '../../test/certificate-rig.ts'
import { createTestDatabase } from '../../test/database.ts'
import type { Db } from '../db.ts'
import { claimDue } from './lease.ts'
import { enqueue, letThrough, placeInQueue, type QueueEntry, queueClass, takeTurn } from './queue.ts'

const BROKEN = Number(process.env['LONG_BROKEN_NAMES'] ?? 400)
const LIMITS = { all: 10, failing: 4 }

/** An issuer and certificates of several tenants that wait at it. */
async function startQueue(db: Db) {
  const issuer = await db.issuer.create({
    data: { name: 'limited', kind: 'acme', directoryUrl: 'https://ca.test/dir' },
  })
  const add = async (owner: { tenantId: string }, name: string, of: Partial<QueueEntry> = {}) => {
    const row = await db.certificate.create({ data: { tenantId: owner.tenantId, names: [name] } })
    const entry = {
      certificateId: row.id,
      tenantId: owner.tenantId,
      issuerId: issuer.id,
      class: queueClass.first,
      notAfter: null,
      ...of,
    }
    await db.$transaction(async (tx) => enqueue(tx, entry, await takeTurn(tx, entry), new Date()))
    return row.id
  }
  const next = async (limit: number): Promise<string[]> => {
    await db.$transaction((tx) => letThrough(tx, issuer.id, limit))
    const rows = await db.certificate.findMany({ where: { queuedAt: { not: null }, dueAt: { not: null } } })
    await db.certificate.updateMany({
      where: { id: { in: rows.map(({ id }) => id) } },
      data: { queueIssuerId: null, queueClass: null, queueTurn: null, queuedAt: null, dueAt: null },
    })
    return rows.map(({ names }) => names[0] ?? '').sort()
  }
  return { add, next }
}

test('what expires soon goes first, then new names, tenants in turns, then the rest', async () => {
  await using database = await createTestDatabase()
  const { db } = database
  const queue = await startQueue(db)
  const [big, small] = [await createTenantSite(db), await createTenantSite(db)]
  const day = (days: number) => new Date(Date.now() + days * 86_400_000)
  await queue.add(big, 'routine', { class: queueClass.routine, notAfter: day(20) })
  for (let index = 0; index < 5; index += 1) await queue.add(big, `big${index}`)
  const last = await queue.add(small, 'small0')
  await queue.add(small, 'small1')
  await queue.add(big, 'soon', { class: queueClass.urgent, notAfter: day(2) })
  await queue.add(big, 'sooner', { class: queueClass.urgent, notAfter: day(1) })

  expect(await placeInQueue(db, last)).toBe(3)
  expect(await queue.next(1)).toEqual(['sooner'])
  expect(await queue.next(1)).toEqual(['soon'])
  expect(await queue.next(2)).toEqual(['big0', 'small0'])
  expect(await queue.next(2)).toEqual(['big1', 'small1'])
  // Whoever comes now does not wait behind all that big has asked for, nor before what was served.
  await queue.add(small, 'small2')
  expect(await queue.next(2)).toEqual(['big2', 'small2'])
  expect(await queue.next(2)).toEqual(['big3', 'big4'])
  expect(await queue.next(5)).toEqual(['routine'])
})

test('names that failed before never take more than their share, and leave the others their place', async () => {
  await using database = await createTestDatabase()
  const { db } = database
  const { tenantId } = await createTenantSite(db)
  const past = (minutes: number) => new Date(Date.now() - minutes * 60_000)
  const add = (name: string, failures: number, minutes: number) =>
    db.certificate.create({ data: { tenantId, names: [name], failures, dueAt: past(minutes) } })
  for (let index = 0; index < 20; index += 1) await add(`broken${index}`, 3, 60)
  const fresh = await add('fresh', 0, 0.1)
  const claimed = await claimDue(db, randomUUID(), LIMITS)
  expect(claimed.map(({ isFailing }) => isFailing)).toEqual([false, true, true, true, true])
  expect(claimed[0]?.certificateId).toBe(fresh.id)
  expect(await claimDue(db, randomUUID(), { all: 10, failing: 0 })).toEqual([])
})

test(`a new name does not wait for ${BROKEN} broken ones that are due`, async () => {
  await using database = await createTestDatabase()
  const { db } = database
  await using responder = await startResponder(db)
  await using ca = await startAcmeServer({ httpPort: responder.port, challengeTypes: ['http-01'] })
  await useAcme(db, ca)
  const owner = await createTenantSite(db)
  await addBroken(db, owner, BROKEN)
  ca.faults.set('validation', { kind: 'failed', type: 'connection', detail: 'refused' }, { rate: 1 })
  await using manager = startManager(database)
  await db.certificate.findFirstOrThrow()
  while (ca.log.of('validation').length < 10) await new Promise((resolve) => setTimeout(resolve, 20))
  ca.faults.clear()
  responder.answer = 'truth'
  const before = ca.log.of('order').length
  await createVerifiedHostname(db, owner, 'good.test')
  manager.wake()
  await certificateInState(db, 'good.test', 'valid')
  const names = ca.log.of('order').map((entry) => entry.names[0])
  expect(names.indexOf('good.test') - before).toBeLessThan(100)
})

/** Proven names whose certificates have failed three times and are due now. */
async function addBroken(db: Db, owner: { tenantId: string; siteId: string }, count: number): Promise<void> {
  const domain = await db.domain.create({
    data: { tenantId: owner.tenantId, name: 'broken.test', token: 'x'.repeat(32) },
  })
  await db.$executeRaw`
    insert into certificate (id, tenant_id, names, state, failures, due_at, updated_at)
      select gen_random_uuid(), ${owner.tenantId}::uuid, array['b' || i || '.broken.test'], 'failing', 3, now(), now()
        from generate_series(1, ${count}) i`
  await db.$executeRaw`
    insert into hostname (id, tenant_id, domain_id, site_id, name, ownership_state, verified_at, certificate_id, updated_at)
      select gen_random_uuid(), c.tenant_id, ${domain.id}::uuid, ${owner.siteId}::uuid, c.names[1], 'verified', now(), c.id, now()
        from certificate c`
}
