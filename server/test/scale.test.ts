import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { claimDue, msUntilDue } from '../control/certificates/lease.ts'
import { adoptHostnames, pageOfCertificates, wakeReproven } from '../control/certificates/store.ts'
import type { Db, Tx } from '../control/db.ts'
import { nextDue, takeDueHostnames } from '../control/domains/due-store.ts'
import { listHostnames } from '../control/domains/hostname-store.ts'
import { loadSources, pruneDeletes } from '../control/publish/store.ts'
import { createTestDatabase, type TestDatabase } from './database.ts'

/** Rows of each table; what a loop or a page asks for must not depend on it. */
const ROWS = 4_000
/** Rows that one question may read: far more than any needs, far fewer than there are. */
const MOST_READ = 1_000

const FINGERPRINT = '0'.repeat(64)

let database: TestDatabase

beforeAll(async () => {
  database = await createTestDatabase()
  await fill(database.db)
})
afterAll(() => database[Symbol.asyncDispose]())

/** Healthy sites whose certificates are all due at once. */
async function fill(db: Db): Promise<void> {
  const statements = [
    `insert into tenant (name) select 'tenant'`,
    `insert into site (tenant_id, name, kind, updated_at)
      select t.id, 's' || i, 'static', now() from tenant t, generate_series(1, ${ROWS}) i`,
    `insert into domain (tenant_id, name, state, token, updated_at)
      select tenant_id, name || '.test', 'verified', 'token-' || name, now() from site`,
    `insert into certificate (tenant_id, names, state, due_at, updated_at)
      select tenant_id, array[name || '.test'], 'wanted', now() - interval '1 hour', now() from site`,
    `insert into certificate_version (certificate_id, fingerprint, serial, names, key_algorithm, chain_pem, key_sealed,
        not_before, not_after)
      select id, lpad((row_number() over () - 1)::text, 64, '0'), '1', names, 'ec', 'chain', 'key', now(),
        now() + interval '1 day' from certificate`,
    `update certificate c set active_version_id = v.id, state = 'valid' from certificate_version v
      where v.certificate_id = c.id`,
    `insert into hostname (tenant_id, domain_id, site_id, name, ownership_state, verified_at, check_due_at,
        certificate_id, updated_at)
      select s.tenant_id, d.id, s.id, d.name, 'verified', now(), now() + interval '1 day', c.id, now()
        from site s join domain d on d.name = s.name || '.test' join certificate c on c.names[1] = d.name`,
    `insert into feed_record (kind, key, revision, payload) select 'name', name, row_number() over (), '{}' from hostname`,
    `insert into installation (feed_id, revision, master_key_check) values ('${randomUUID()}', ${ROWS}, 'check')`,
    'delete from feed_change',
  ]
  for (const statement of statements) await db.$executeRawUnsafe(withIds(statement))
  await db.$executeRawUnsafe('vacuum analyze')
}

/** Ids are made by the program, not by the database. */
function withIds(statement: string): string {
  const table = /^insert into (tenant|site|domain|certificate|certificate_version|hostname) \(/.exec(statement)
  if (table === null) return statement
  return statement.replace('(', '(id, ').replace(/\bselect /, 'select gen_random_uuid(), ')
}

/** How many rows of all tables `ask` reads. */
async function rowsRead(ask: (tx: Tx) => Promise<unknown>): Promise<number> {
  return database.db.$transaction(async (tx) => {
    const before = await readSoFar(tx)
    await ask(tx)
    return (await readSoFar(tx)) - before
  })
}

/** Rows that this connection has read and PostgreSQL has not yet added to its statistics. */
async function readSoFar(tx: Tx): Promise<number> {
  const [row] = await tx.$queryRaw<{ read: number }[]>`
    select sum(coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0))::int as read from pg_stat_xact_user_tables`
  return row?.read ?? 0
}

const now = new Date()
const questions: Record<string, (tx: Tx) => Promise<unknown>> = {
  'when a quick check is due next': (tx) => nextDue(tx, 'quick'),
  'when a slow check is due next': (tx) => nextDue(tx, 'slow'),
  'which quick checks are due': (tx) => takeDueHostnames(tx, 'quick', 12, now),
  'which slow checks are due': (tx) => takeDueHostnames(tx, 'slow', 4, now),
  'which certificate is due, when all are': (tx) => claimDue(tx, randomUUID(), { all: 1, failing: 1 }),
  'when a certificate is due next': msUntilDue,
  'which hostnames have no certificate': (tx) => adoptHostnames(tx, 100),
  'which paused certificates may go on': wakeReproven,
  'what a certificate record is made of': (tx) => loadSources(tx, [{ kind: 'certificate', key: FINGERPRINT }], 1),
  'which deletes may be forgotten': pruneDeletes,
  'a page of failing certificates': (tx) => pageOfCertificates(tx, 'all', { state: 'failing' }, {}),
  'a page of lapsed hostnames': (tx) => listHostnames(tx, 'all', { state: 'lapsed' }),
}

test.each(Object.entries(questions))('%s: answered without reading every row', async (_, ask) => {
  expect(await rowsRead(ask)).toBeLessThan(MOST_READ)
})

test('the count of rows read tells a question that reads them all', async () => {
  expect(await rowsRead((tx) => tx.site.count({ where: { kind: 'proxy' } }))).toBeGreaterThanOrEqual(ROWS)
})
