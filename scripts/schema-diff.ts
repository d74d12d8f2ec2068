import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PrismaPg } from '@prisma/adapter-pg'
import { bindMigrationAwareSqlAdapterFactory } from '@prisma/driver-adapter-utils'
import { SchemaEngine } from '@prisma/schema-engine-wasm'
import pg from 'pg'
import { migrate } from '../server/control/migrate.ts'
import { startPostgres } from '../server/process/postgres.ts'

/**
 * Compares the database that the migrations make with the one that prisma/schema.prisma describes,
 * on a scratch server. Prints each difference and exits 1, or says what it compared and exits 0.
 * `--sql` prints the SQL of the whole schema instead: the draft of a migration.
 *
 * What only the migrations know (checks, triggers, partial indexes) is not compared.
 */
const SCHEMA = 'prisma/schema.prisma'

const catalog = `
  select 'column ' || c.relname || '.' || a.attname as thing,
    format_type(a.atttypid, a.atttypmod) || case when a.attnotnull then ' not null' else '' end ||
    coalesce(' default ' || pg_get_expr(d.adbin, d.adrelid), '') as shape
  from pg_attribute a join pg_class c on c.oid = a.attrelid
    left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
  where c.relkind = 'r' and c.relnamespace = 'public'::regnamespace and a.attnum > 0 and not a.attisdropped
  union all
  select 'index ' || i.relname, pg_get_indexdef(x.indexrelid)
  from pg_index x join pg_class i on i.oid = x.indexrelid
  where i.relnamespace = 'public'::regnamespace and x.indpred is null and x.indexprs is null
  union all
  select 'foreign key ' || conname, pg_get_constraintdef(oid) from pg_constraint
  where contype = 'f' and connamespace = 'public'::regnamespace
  union all
  select 'enum ' || t.typname, string_agg(e.enumlabel, ', ' order by e.enumsortorder)
  from pg_type t join pg_enum e on e.enumtypid = t.oid where t.typnamespace = 'public'::regnamespace group by t.typname`

async function schemaSql(url: string): Promise<string> {
  const files = [{ path: SCHEMA, content: readFileSync(SCHEMA, 'utf8') }]
  const adapter = bindMigrationAwareSqlAdapterFactory(new PrismaPg({ connectionString: url }))
  const engine = await SchemaEngine.new({ datamodels: files.map((f) => [f.path, f.content]) }, () => undefined, adapter)
  const { stdout } = await engine.diff({
    from: { tag: 'empty' },
    to: { tag: 'schemaDatamodel', files },
    script: true,
    exitCode: null,
    filters: { externalTables: [], externalEnums: [] },
  })
  return stdout ?? ''
}

async function query<T extends object>(url: string, sql: string): Promise<T[]> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    return (await client.query<T>(sql)).rows
  } finally {
    await client.end()
  }
}

async function shapes(url: string): Promise<Map<string, string>> {
  const rows = await query<{ thing: string; shape: string }>(url, catalog)
  return new Map(rows.filter(({ thing }) => !/ schema_migration[._]/.test(thing)).map((row) => [row.thing, row.shape]))
}

function differences(migrated: ReadonlyMap<string, string>, described: ReadonlyMap<string, string>): string[] {
  const lines: string[] = []
  for (const [thing, shape] of described) {
    const ours = migrated.get(thing)
    if (ours === undefined) lines.push(`${thing}: in the schema, not in the migrations (${shape})`)
    else if (ours !== shape) lines.push(`${thing}: migrations say ${ours}; the schema says ${shape}`)
  }
  for (const thing of migrated.keys())
    if (!described.has(thing)) lines.push(`${thing}: in the migrations, not in the schema`)
  return lines
}

const folder = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'nameplate-diff-'))
const server = await startPostgres({ folder, settings: ['fsync=off'] })
try {
  const sql = await schemaSql(server.url)
  if (process.argv.includes('--sql')) console.log(sql)
  else {
    const described = new URL(server.url)
    described.pathname = '/described'
    await query(server.url, 'create database described')
    await query(described.href, sql)
    await migrate(server.url)
    const [ours, theirs] = [await shapes(server.url), await shapes(described.href)]
    const lines = differences(ours, theirs)
    if (theirs.size === 0) lines.push('the schema describes nothing: this check looked at nothing')
    for (const line of lines) console.error(`schema and migrations disagree: ${line}`)
    if (lines.length === 0)
      console.log(`schema and migrations agree: ${theirs.size} columns, indexes, keys and enums compared`)
    process.exitCode = lines.length === 0 ? 0 : 1
  }
} finally {
  await server.stop()
  rmSync(folder, { recursive: true, force: true })
}
