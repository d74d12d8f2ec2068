import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import pg from 'pg'
import { OperatorError } from '../process/operator-error.ts'

const FOLDER = fileURLToPath(new URL('../../prisma/migrations', import.meta.url))
/** Any fixed number: replicas that start together take turns. */
const LOCK = 7_283_001
const OLDEST_SERVER = 140_000

/** The database cannot be brought to this version's schema. `message` says what to do. */
export class MigrationError extends OperatorError {
  override name = 'MigrationError'
}

/** One step of the schema. */
export type Migration = { readonly name: string; readonly sql: string; readonly checksum: string }

/**
 * Brings a database to the schema of this version: each migration of `prisma/migrations` that is not
 * there yet, in order, each in a transaction of its own, under a lock. Returns the names applied.
 * Throws `MigrationError` for a server that is too old, a newer database or a changed migration.
 */
export async function migrate(url: string, folder = FOLDER): Promise<string[]> {
  const client = new pg.Client({
    connectionString: url,
    connectionTimeoutMillis: 10_000,
    application_name: 'nameplate migrate',
  })
  await client.connect()
  try {
    await checkServer(client)
    await client.query('select pg_advisory_lock($1)', [LOCK])
    await makeHistory(client)
    const applied = await appliedMigrations(client)
    const wanted = readMigrations(folder)
    checkHistory(applied, wanted)
    const missing = wanted.filter((migration) => !applied.has(migration.name))
    for (const migration of missing) await apply(client, migration)
    return missing.map((migration) => migration.name)
  } finally {
    await client.end()
  }
}

async function makeHistory(client: pg.Client): Promise<void> {
  await client.query(`create table if not exists schema_migration (
    name text primary key, checksum text not null, applied_at timestamptz not null default now())`)
}

/** Makes the schema of these migrations in an empty database, in the caller's transaction. */
export async function makeSchema(client: pg.Client, migrations: readonly Migration[]): Promise<void> {
  await makeHistory(client)
  for (const { name, sql, checksum } of migrations) {
    await client.query(sql)
    await client.query('insert into schema_migration (name, checksum) values ($1, $2)', [name, checksum])
  }
}

async function checkServer(client: pg.Client): Promise<void> {
  const { rows } = await client.query<{ version: number }>(
    "select current_setting('server_version_num')::int as version",
  )
  const version = rows[0]?.version ?? 0
  if (version >= OLDEST_SERVER) return
  throw new MigrationError(`DATABASE_URL: PostgreSQL ${Math.floor(version / 10_000)} is too old; 14 or newer is needed`)
}

async function appliedMigrations(client: pg.Client): Promise<Map<string, string>> {
  const { rows } = await client.query<{ name: string; checksum: string }>('select name, checksum from schema_migration')
  return new Map(rows.map((row) => [row.name, row.checksum]))
}

/** The migrations of this version in their order. */
export function readMigrations(folder = FOLDER): Migration[] {
  const names = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory())
  return names
    .map(({ name }) => {
      const sql = readFileSync(join(folder, name, 'migration.sql'), 'utf8')
      return { name, sql, checksum: createHash('sha256').update(sql).digest('hex') }
    })
    .sort((a, b) => (a.name < b.name ? -1 : 1))
}

function checkHistory(applied: ReadonlyMap<string, string>, wanted: readonly Migration[]): void {
  const known = new Map(wanted.map((migration) => [migration.name, migration.checksum]))
  for (const [name, checksum] of applied) {
    const ours = known.get(name)
    if (ours === undefined)
      throw new MigrationError(`the database is newer than this version (it has ${name}): upgrade Nameplate`)
    if (ours !== checksum)
      throw new MigrationError(`migration ${name} was changed after it had been applied: restore the released file`)
  }
}

async function apply(client: pg.Client, migration: Migration): Promise<void> {
  await client.query('begin')
  try {
    await client.query(migration.sql)
    await client.query('insert into schema_migration (name, checksum) values ($1, $2)', [
      migration.name,
      migration.checksum,
    ])
    await client.query('commit')
  } catch (cause) {
    await client.query('rollback').catch(() => undefined)
    throw new MigrationError(`migration ${migration.name} failed and was rolled back: ${(cause as Error).message}`, {
      cause,
    })
  }
}
