import type pg from 'pg'
import { OperatorError } from '../../process/operator-error.ts'
import { type Migration, makeSchema } from '../migrate.ts'
import { BackupFileError } from './archive-reader.ts'
import { type Header, type Manifest, sha256Of, type TablePart } from './format.ts'
import { quoted } from './snapshot.ts'

/** Loads one backup into an empty database, in one transaction: it is all there, or nothing is. */
export type Loading = {
  /** Loads one part of a table, as the manifest describes it. */
  part(table: string, part: TablePart, content: Buffer): Promise<void>
  /** Puts the rules back, makes what is restored a database of its own, and commits. */
  commit(options: { readonly feedId: string; readonly keepSessions: boolean }): Promise<void>
}

/** The migrations that a backup was made at. Throws `OperatorError` when this version does not have one of them. */
export function migrationsOf(header: Header, known: readonly Migration[]): Migration[] {
  return header.migrations.map(({ name, checksum }) => {
    const migration = known.find((one) => one.name === name)
    if (migration === undefined)
      throw new OperatorError(
        `the backup is of Nameplate ${header.version}, which is newer than this version (it has ${name}): upgrade first`,
      )
    if (migration.checksum !== checksum)
      throw new OperatorError(`migration ${name} differs from that of the backup: restore with a released version`)
    return migration
  })
}

/** The feed id of the database, null in one that was never started, undefined in one that has no tables at all. */
export async function feedIdOf(client: pg.Client): Promise<string | null | undefined> {
  const { rows } = await client.query<{ name: string }>(
    'select tablename as name from pg_tables where schemaname = current_schema()',
  )
  if (rows.length === 0) return undefined
  if (!rows.some(({ name }) => name === 'installation')) return null
  const found = await client.query<{ feedId: string }>('select feed_id::text as "feedId" from installation')
  return found.rows[0]?.feedId ?? null
}

/**
 * Makes the schema of the backup's own version (`schema`), without foreign keys and with its triggers off: rows come in any
 * order, and nothing is marked for publishing. The caller has made sure that the database is empty.
 */
export async function beginLoading(
  client: pg.Client,
  schema: readonly Migration[],
  manifest: Manifest,
): Promise<Loading> {
  await client.query("set timezone = 'UTC'; set datestyle = 'ISO'; set intervalstyle = 'postgres'")
  await client.query('set statement_timeout = 0; set idle_in_transaction_session_timeout = 0')
  await client.query('begin')
  await makeSchema(client, schema)
  const { rows: keys } = await client.query<{ table: string; name: string; definition: string }>(`
    select conrelid::regclass::text as table, conname as name, pg_get_constraintdef(oid) as definition
      from pg_constraint where contype = 'f' and connamespace = current_schema()::regnamespace`)
  for (const { table, name } of keys) await client.query(`alter table ${table} drop constraint ${quoted(name)}`)
  for (const { name, columns } of manifest.tables) {
    await client.query(`alter table ${quoted(name)} disable trigger user`)
    // The text of a row names no columns: this is the type whose columns stand in the order of the backup.
    const list = columns.map(quoted).join(', ')
    await client.query(
      `create temp table ${rowType(name)} on commit drop as select ${list} from ${quoted(name)} where false`,
    )
  }
  const tables = new Map(manifest.tables.map((table) => [table.name, table]))
  return {
    async part(name, { sha256 }, content) {
      const table = tables.get(name)
      if (table === undefined || sha256Of(content) !== sha256)
        throw new BackupFileError('the backup was changed while it was restored: nothing was restored')
      const texts = content.toString('utf8').split('\n').slice(0, -1)
      const rows = texts.map((line) => JSON.parse(line) as string)
      const columns = table.columns.map(quoted)
      await client.query(
        `with given as materialized (select text::${rowType(name)} as r from unnest($1::text[]) as text)
          insert into ${quoted(name)} (${columns.join(', ')}) overriding system value
          select ${columns.map((column) => `(r).${column}`).join(', ')} from given`,
        [rows],
      )
    },
    async commit({ feedId, keepSessions }) {
      for (const { table, name, definition } of keys)
        await client.query(`alter table ${table} add constraint ${quoted(name)} ${definition}`)
      await makeItsOwn(client, feedId, keepSessions)
      for (const { name } of manifest.tables) await client.query(`alter table ${quoted(name)} enable trigger user`)
      for (const { name, lastValue } of manifest.sequences)
        if (lastValue !== null) await client.query('select setval($1::regclass, $2::bigint)', [quoted(name), lastValue])
      await checkCounts(client, manifest)
      await client.query('commit')
      await client.query('analyze')
    },
  }
}

function rowType(table: string): string {
  return `pg_temp.${quoted(`restored_${table}`)}`
}

/**
 * What belongs to the machine that was, and not to this one: leases of workers and edges, what edges have confirmed,
 * sessions (one that was ended since the backup would live again), links to set up. Edges see the new feed id and
 * take everything anew. Nothing here makes a certificate due.
 */
async function makeItsOwn(client: pg.Client, feedId: string, keepSessions: boolean): Promise<void> {
  const { rows } = await client.query<{ table: string; columns: string[] }>(`
    select table_name as table, array_agg(column_name::text) as columns from information_schema.columns
      where table_schema = current_schema() and column_name in ('lease_holder', 'lease_expires_at') and is_nullable = 'YES'
      group by table_name`)
  for (const { table, columns } of rows) {
    const names = columns.map(quoted)
    const cleared = names.map((name) => `${name} = null`).join(', ')
    await client.query(`update ${quoted(table)} set ${cleared} where num_nonnulls(${names.join(', ')}) > 0`)
  }
  await client.query('delete from edge_exception')
  await client.query('update edge set feed_id = null, revision = 0')
  await client.query('delete from setup_link')
  if (!keepSessions) await client.query('delete from session')
  await client.query('update installation set feed_id = $1 where id = 1', [feedId])
}

async function checkCounts(client: pg.Client, manifest: Manifest): Promise<void> {
  const cleared = new Set(['edge_exception', 'setup_link', 'session'])
  for (const { name, rows: wanted } of manifest.tables) {
    if (cleared.has(name)) continue
    const { rows } = await client.query<{ count: string }>(`select count(*) from ${quoted(name)}`)
    if (Number(rows[0]?.count) !== wanted)
      throw new BackupFileError(`${rows[0]?.count} rows of ${name} arrived, not ${wanted}: nothing was restored`)
  }
}
