import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import {
  certificateInState,
  createTenantSite,
  createVerifiedHostname,
  startManager,
  startResponder,
  useAcme,
  useLocalCa,
} from '../../test/certificate-rig.ts'
import { createTestDatabase } from '../../test/database.ts'
import { startPebble } from '../../test/pebble.ts'

const CHILD = fileURLToPath(new URL('../../test/certificate-child.ts', import.meta.url))
const points = [
  'order.created',
  'order.answered',
  'order.placed',
  'order.challenge-published',
  'order.challenge-submitted',
  'order.finalized',
  'order.downloaded',
] as const

for (const point of points) {
  test(`killed at ${point}, the next manager finishes the same order and buys nothing twice`, async () => {
    await using database = await createTestDatabase()
    const { db } = database
    await using responder = await startResponder(db)
    await using pebble = await startPebble({ httpPort: responder.port })
    await useAcme(db, pebble)
    await createVerifiedHostname(db, await createTenantSite(db), 'crash.acme.test')
    await dieAt(database.url, point)
    const before = await db.order.findFirstOrThrow()

    await expireLeases(db)
    await using _manager = startManager(database)
    const row = await certificateInState(db, 'crash.acme.test', 'valid')
    expect(row.orders.map(({ id, state }) => ({ id, state }))).toEqual([{ id: before.id, state: 'valid' }])
    expect(row.versions).toHaveLength(1)
    expect(pebble.orderCount()).toBe(1)
    expect(pebble.log().match(/Issued certificate serial/g)).toHaveLength(1)
    expect(await db.acmeAccount.count()).toBe(1)
    expect(await db.event.count({ where: { action: 'certificate.issued' } })).toBe(1)
  })
}

for (const point of ['order.created', 'order.placed', 'order.finalized', 'order.downloaded'] as const) {
  test(`killed at ${point} with the local CA, the next manager finishes the same order`, async () => {
    await using database = await createTestDatabase()
    const { db } = database
    await useLocalCa(db)
    await createVerifiedHostname(db, await createTenantSite(db), 'crash.local.test')
    await dieAt(database.url, point)

    await expireLeases(db)
    await using _manager = startManager(database)
    const row = await certificateInState(db, 'crash.local.test', 'valid')
    expect(row.orders.map(({ state }) => state)).toEqual(['valid'])
    expect(row.versions).toHaveLength(1)
  })
}

/** Runs a manager in a child until it has killed itself at the point. */
async function dieAt(databaseUrl: string, point: string): Promise<void> {
  const child = spawn(process.execPath, [CHILD, databaseUrl], {
    env: { ...process.env, FAULT_POINT: point },
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  const [, signal] = (await once(child, 'exit')) as [number | null, string | null]
  expect(signal).toBe('SIGKILL')
}

/** What passing time does: the dead manager's lease ends. */
async function expireLeases(db: Awaited<ReturnType<typeof createTestDatabase>>['db']): Promise<void> {
  const { count } = await db.certificate.updateMany({
    where: { leaseHolder: { not: null } },
    data: { leaseExpiresAt: new Date(Date.now() - 1_000) },
  })
  expect(count).toBe(1)
}
