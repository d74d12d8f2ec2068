import { chmodSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync, type StatementSync } from 'node:sqlite'
import type { Payloads, RecordKind, ServingRecord } from '../contract/records.ts'

/** File of the records inside an edge's folder. */
const FILE = 'records.sqlite'

/** What an edge says of itself in a hello. */
export type Position = { readonly feedId: string | null; readonly revision: number }

/** What a worker asks, on the handshake and request path. Each call is one indexed lookup (6-7 us). */
export type EdgeReader = {
  get<K extends RecordKind>(kind: K, key: string): Payloads[K] | null
  close(): void
}

/** What the supervisor writes. Every method is one transaction that is on disk when it returns. */
export type EdgeStore = EdgeReader & {
  position(): Position
  /** Writes a batch; afterwards the store holds everything up to `revision`. */
  apply(records: readonly ServingRecord[], revision: number): void
  /** Begins a snapshot of another feed: from here on rows are marked; what is not marked at the end is swept. */
  beginSnapshot(): void
  /** Sweeps what the snapshot did not bring. Returns the keys that went. */
  endSnapshot(feedId: string, revision: number): { kind: RecordKind; key: string }[]
  /** Parks a record that waits for content; what the key served before goes on. */
  park(record: ServingRecord): void
  /** Parked records, oldest first. */
  parked(): ServingRecord[]
  /** Makes a parked record the served one, unless a newer one came meanwhile. */
  unpark(record: ServingRecord): void
}

type Row = { payload: string }

/** Opens the store for reading, as a worker does. Throws when the supervisor has not made it yet. */
export function openEdgeReader(folder: string): EdgeReader {
  const file = new DatabaseSync(join(folder, FILE), { readOnly: true })
  file.exec('pragma busy_timeout = 2000; pragma query_only = on')
  const statement = file.prepare('select payload from record where kind = ? and key = ?')
  return { get: (kind, key) => lookup(statement, kind, key), close: () => file.close() }
}

/** Opens the store for writing, making it when it is missing. One process at a time: the supervisor. */
export function openEdgeStore(folder: string): EdgeStore {
  mkdirSync(folder, { recursive: true, mode: 0o750 })
  const file = new DatabaseSync(join(folder, FILE))
  file.exec('pragma journal_mode = wal; pragma synchronous = full; pragma busy_timeout = 2000')
  file.exec(`
    create table if not exists record (kind text, key text, revision integer not null, seen integer not null default 0,
      payload text not null, primary key (kind, key)) without rowid;
    create table if not exists parked (kind text, key text, revision integer not null, payload text not null,
      primary key (kind, key)) without rowid;
    create table if not exists meta (name text primary key, value text) without rowid;`)
  for (const suffix of ['', '-wal', '-shm']) chmodSync(join(folder, FILE + suffix), 0o640)
  return storeOf(file)
}

function storeOf(file: DatabaseSync): EdgeStore {
  const select = file.prepare('select payload from record where kind = ? and key = ?')
  const upsert = file.prepare(`insert into record (kind, key, revision, seen, payload) values (?, ?, ?, ?, ?)
    on conflict do update set revision = excluded.revision, seen = excluded.seen, payload = excluded.payload`)
  const remove = file.prepare('delete from record where kind = ? and key = ?')
  const parkRow = file.prepare('insert or replace into parked (kind, key, revision, payload) values (?, ?, ?, ?)')
  const unparkRow = file.prepare('delete from parked where kind = ? and key = ? and revision <= ?')
  const meta = file.prepare('select value from meta where name = ?')
  const setMeta = file.prepare('insert or replace into meta (name, value) values (?, ?)')
  const read = (name: string): string | null => (meta.get(name) as { value: string } | undefined)?.value ?? null
  const snapshot = (): number => Number(read('snapshot') ?? 0)

  const put = (record: ServingRecord): void => {
    unparkRow.run(record.kind, record.key, record.revision)
    if (record.payload === null) remove.run(record.kind, record.key)
    else upsert.run(record.kind, record.key, record.revision, snapshot(), JSON.stringify(record.payload))
  }
  return {
    get: (kind, key) => lookup(select, kind, key),
    close: () => file.close(),
    position: () => ({ feedId: read('feedId'), revision: Number(read('revision') ?? 0) }),
    apply: (records, revision) =>
      transaction(file, () => {
        for (const record of records) put(record)
        setMeta.run('revision', String(revision))
      }),
    beginSnapshot: () =>
      transaction(file, () => {
        setMeta.run('snapshot', String(snapshot() + 1))
        setMeta.run('feedId', null)
        setMeta.run('revision', '0')
      }),
    endSnapshot: (feedId, revision) =>
      transaction(file, () => {
        const gone = file.prepare('select kind, key from record where seen <> ?').all(snapshot())
        file.prepare('delete from record where seen <> ?').run(snapshot())
        setMeta.run('feedId', feedId)
        setMeta.run('revision', String(revision))
        return gone as { kind: RecordKind; key: string }[]
      }),
    park: (record) =>
      transaction(
        file,
        () => void parkRow.run(record.kind, record.key, record.revision, JSON.stringify(record.payload)),
      ),
    parked: () => file.prepare('select kind, key, revision, payload from parked order by revision').all().map(toRecord),
    unpark: (record) => transaction(file, () => put(record)),
  }
}

function lookup<K extends RecordKind>(statement: StatementSync, kind: K, key: string): Payloads[K] | null {
  const row = statement.get(kind, key) as Row | undefined
  return row === undefined ? null : (JSON.parse(row.payload) as Payloads[K])
}

function toRecord(row: Record<string, unknown>): ServingRecord {
  return { ...row, payload: JSON.parse(String(row.payload)) } as ServingRecord
}

function transaction<T>(file: DatabaseSync, work: () => T): T {
  file.exec('begin immediate')
  try {
    const result = work()
    file.exec('commit')
    return result
  } catch (error) {
    file.exec('rollback')
    throw error
  }
}
