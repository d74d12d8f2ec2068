import { randomBytes } from 'node:crypto'
import { createServer } from 'node:net'
import { expect, test, vi } from 'vitest'
import { createLog } from '../../process/log.ts'
import { createTestDatabase } from '../../test/database.ts'
import { onServer } from '../../test/global-setup.ts'
import { platformRoutes } from '../../test/platform-routes.ts'
import { createAuthenticate } from '../auth/authenticate.ts'
import { type Db, openDatabase } from '../db.ts'
import { createVault } from '../vault.ts'
import { buildApi } from './app.ts'
import { toAppError } from './problem.ts'

const log = createLog('test', 'fatal')

async function apiOn(db: Db, databaseUrl: string, health: () => Promise<never> = () => Promise.reject(new Error('x'))) {
  const vault = createVault(randomBytes(32))
  const parts = { db, databaseUrl, vault, tenantId: '', otherTenantId: '' }
  const authenticate = createAuthenticate(db)
  const routes = platformRoutes(parts)
  return buildApi({
    log,
    db,
    vault,
    authenticate,
    routes,
    webFolder: null,
    version: '1',
    isBehindListener: false,
    health,
  })
}

test('without a database each call says so, and the process lives', async () => {
  const server = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const { port } = server.address() as { port: number }
  await new Promise((resolve) => server.close(resolve))
  const url = `postgresql://nobody@127.0.0.1:${port}/none`
  const db = openDatabase(url)
  const app = await apiOn(db, url)
  try {
    const login = { method: 'POST', url: '/api/v1/auth/login', payload: { email: 'a@b.test', password: 'x' } } as const
    for (const call of [login, { url: '/api/v1/setup' }]) {
      const response = await app.inject(call)
      expect([response.statusCode, response.json().code]).toEqual([503, 'UNAVAILABLE'])
      expect(response.headers['retry-after']).toBe('2')
      expect(response.body).not.toContain(String(port))
    }
    expect((await app.inject({ url: '/api/v1/health/live' })).statusCode).toBe(200)
    const health = await app.inject({ url: '/api/v1/health' })
    expect([health.statusCode, health.json().status]).toEqual([503, 'down'])
  } finally {
    await app.close()
    await db.$disconnect()
  }
})

test('connections that Postgres ends are an outage, and the next call works', async () => {
  await using database = await createTestDatabase()
  const app = await apiOn(database.db, database.url)
  try {
    expect((await app.inject({ url: '/api/v1/setup' })).statusCode).toBe(200)
    const name = new URL(database.url).pathname.slice(1)
    const kill = `select pg_terminate_backend(pid) from pg_stat_activity where datname = '${name}'`
    const slow = database.db.$queryRaw`select pg_sleep(30)`.then(
      () => null,
      (error: unknown) => error,
    )
    const running = () =>
      database.db.$queryRaw<unknown[]>`
        select 1 from pg_stat_activity where state = 'active' and query like '%pg_sleep(30)%' and pid <> pg_backend_pid()`
    await vi.waitFor(async () => expect(await running()).not.toEqual([]), { timeout: 30_000, interval: 20 })
    await onServer(database.url, kill)
    expect(toAppError(await slow, 'x').code).toBe('UNAVAILABLE')
    expect((await app.inject({ url: '/api/v1/setup' })).statusCode).toBe(200)
  } finally {
    await app.close()
  }
})
