import { randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { claimDue, msUntilDue } from '../../server/control/certificates/lease.ts'
import { letOrdersThrough } from '../../server/control/certificates/queue-pass.ts'
import { adoptHostnames, wakeReproven } from '../../server/control/certificates/store.ts'
import { type Db, openDatabase } from '../../server/control/db.ts'
import { migrate } from '../../server/control/migrate.ts'
import { startPostgres } from '../../server/process/postgres.ts'
import type { Figures } from '../report.ts'
import type { MeasuredRow } from './figure-row.ts'

const PASSES = 50
const LIMITS = { all: 32, failing: 16 }

/** A certificate and a hostname for each site, all fine. */
const rows = (count: number): string[] => [
  `insert into tenant (id, name, updated_at) values (gen_random_uuid(), 'fleet', now())`,
  `insert into site (id, tenant_id, name, kind, updated_at)
    select gen_random_uuid(), t.id, 's' || i, 'static', now() from tenant t, generate_series(1, ${count}) i`,
  `insert into domain (id, tenant_id, name, state, token, updated_at)
    select gen_random_uuid(), tenant_id, name || '.test', 'verified', 'token-' || name, now() from site`,
  `insert into certificate (id, tenant_id, names, state, due_at, renew_at, updated_at)
    select gen_random_uuid(), tenant_id, array[name || '.test'], 'wanted', now() + random() * interval '6 hours' + interval '1 hour',
      now() + interval '20 days', now() from site`,
  `insert into hostname (id, tenant_id, domain_id, site_id, name, ownership_state, verified_at, check_due_at, certificate_id, updated_at)
    select gen_random_uuid(), s.tenant_id, d.id, s.id, d.name, 'verified', now(), now() + interval '1 day', c.id, now()
      from site s join domain d on d.name = s.name || '.test' join certificate c on c.names[1] = d.name`,
  'delete from feed_change',
  'vacuum analyze',
]

/** What the manager asks of the database in one pass, the work on what is due apart. */
async function pass(db: Db): Promise<number> {
  const started = performance.now()
  await wakeReproven(db)
  await db.$transaction((tx) => adoptHostnames(tx, 200))
  await letOrdersThrough(db, new Date())
  await claimDue(db, randomUUID(), LIMITS)
  await msUntilDue(db)
  return performance.now() - started
}

async function passes(db: Db): Promise<Figures[string]> {
  const times: number[] = []
  for (let index = 0; index < PASSES; index += 1) times.push(await pass(db))
  const sorted = times.toSorted((a, b) => a - b).map((ms) => Math.round(ms * 10) / 10)
  return {
    medianMs: sorted[PASSES / 2] ?? 0,
    slowestMs: sorted.at(-1) ?? 0,
    rssMb: Math.round(process.memoryUsage().rss / 1_048_576),
  }
}

/** One pass of the manager over many rows: when nothing is due, and when everything is. */
export const fleetPassRow: MeasuredRow = {
  name: 'fleet-pass',
  title: 'one pass of the certificate manager over many certificates',
  async measure({ sites }) {
    const folder = mkdtempSync(join(tmpdir(), 'nameplate-fleet-'))
    const server = await startPostgres({ folder, settings: ['fsync=off'] })
    const db = openDatabase(server.url)
    try {
      await migrate(server.url)
      for (const statement of rows(sites)) await db.$executeRawUnsafe(statement)
      const quiet = await passes(db)
      await db.$executeRawUnsafe(`update certificate set due_at = now() - interval '1 hour'`)
      return { [`${sites}, none due`]: quiet, [`${sites}, all due`]: await passes(db) }
    } finally {
      await db.$disconnect()
      await server.stop()
      rmSync(folder, { recursive: true, force: true })
    }
  },
}
