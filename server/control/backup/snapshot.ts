import type pg from 'pg'

/** A page of rows is read in about this many bytes; a single row may be larger. */
const PAGE_BYTES = 1024 * 1024
const MOST_ROWS = 2_000

/** A table as it is copied: its columns by name, so that their order may differ where it is restored. */
export type Table = { readonly name: string; readonly columns: readonly string[] }

/** One moment of the whole database, whatever is written meanwhile. */
export type Snapshot = {
  readonly tables: readonly Table[]
  readonly sequences: readonly { readonly name: string; readonly lastValue: string | null }[]
  /** A table's rows in pages: PostgreSQL's own text of each, which it reads back as the same row. */
  rows(table: Table): AsyncGenerator<readonly string[]>
  /** Digests of the manifests of all releases, each once, in pages. */
  manifests(): AsyncGenerator<readonly string[]>
}

/**
 * Begins a snapshot on a connection of its own: one transaction, REPEATABLE READ. It ends with the connection.
 * `schema_migration` is no part of it: the schema is made anew where it is restored.
 */
export async function beginSnapshot(client: pg.Client): Promise<Snapshot> {
  await client.query("set timezone = 'UTC'; set datestyle = 'ISO'; set intervalstyle = 'postgres'")
  await client.query('set bytea_output = hex; set statement_timeout = 0; set idle_in_transaction_session_timeout = 0')
  await client.query('begin isolation level repeatable read')
  const { rows: tables } = await client.query<{ name: string; columns: string[] }>(`
    select c.relname as name, array_agg(a.attname::text order by a.attnum) as columns
      from pg_class c join pg_attribute a on a.attrelid = c.oid
      where c.relnamespace = current_schema()::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
        and a.attnum > 0 and not a.attisdropped and a.attgenerated = '' and c.relname <> 'schema_migration'
      group by c.relname order by c.relname`)
  // Not part of any snapshot: read after it, they are beyond each number in it.
  const { rows: sequences } = await client.query<{ name: string; lastValue: string | null }>(`
    select sequencename as name, last_value::text as "lastValue" from pg_sequences
      where schemaname = current_schema() order by sequencename`)
  return {
    tables,
    sequences,
    rows: ({ name, columns }) =>
      pages(client, `select row(${columns.map(quoted).join(', ')})::text as text from ${quoted(name)}`),
    manifests: () => pages(client, 'select distinct manifest_digest as text from release order by 1'),
  }
}

/** An identifier in SQL. */
export function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}

/** Reads a column `text` by a cursor; the number of rows in a page follows their size. */
async function* pages(client: pg.Client, sql: string): AsyncGenerator<readonly string[]> {
  await client.query(`declare page no scroll cursor for ${sql}`)
  let count = 10
  for (;;) {
    const { rows } = await client.query<{ text: string }>(`fetch ${count} from page`)
    if (rows.length > 0) yield rows.map(({ text }) => text)
    if (rows.length < count) break
    const bytes = rows.reduce((sum, { text }) => sum + text.length, 1)
    count = Math.min(MOST_ROWS, Math.max(1, Math.floor((rows.length * PAGE_BYTES) / bytes)))
  }
  await client.query('close page')
}
