import { chmodSync, existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync, type StatementSync } from 'node:sqlite'
import type { Payloads, RecordKind, ServingRecord } from '../contract/records.ts'
import { transaction } from './transaction.ts'

/** File of the records inside an edge's folder. */
const FILE = 'records.sqlite'
/** Beside it: written when damage was met while running, so that the next start begins anew. */
const DAMAGED_MARK = 'records.damaged'
/** Where a damaged file goes; the one before it is overwritten. */
const ASIDE = 'records.sqlite.damaged'
/** A consistent copy of some minutes ago (`store-copies.ts`). */
const COPY = 'records.sqlite.copy'
/** Layout of the file; a file of another layout is rebuilt like a damaged one. */
const LAYOUT = 1

/** What an edge says of itself in a hello. */
export type Position = { readonly feedId: string | null; readonly revision: number }

/** A record that this edge cannot use; what its key served before goes on. */
export type Refusal = {
  readonly kind: RecordKind
  readonly key: string
  readonly revision: number
  readonly reason: string
}

/** The part of a batch that is not served at once. */
export type HeldBack = { readonly parked: readonly ServingRecord[]; readonly refused: readonly Refusal[] }

/** What a worker asks, on the handshake and request path. Each call is one indexed lookup (6-7 us). */
export type EdgeReader = {
  get<K extends RecordKind>(kind: K, key: string): Payloads[K] | null
  /** Up to `limit` names that have a record, in order, those behind `after`. */
  namesAfter(after: string, limit: number): string[]
  close(): void
}

/** What the supervisor writes. Every method is one transaction that is on disk when it returns. */
export type EdgeStore = EdgeReader & {
  position(): Position
  /** Writes a batch; afterwards the store holds everything up to `revision`. */
  apply(records: readonly ServingRecord[], revision: number, heldBack?: HeldBack): void
  /** Begins a snapshot of another feed: from here on rows are marked; what is not marked at the end is swept. */
  beginSnapshot(): void
  /** Sweeps what the snapshot did not bring. Returns the keys that went. */
  endSnapshot(feedId: string, revision: number): { kind: RecordKind; key: string }[]
  /** Records that wait for content, oldest first. */
  parked(): ServingRecord[]
  /** The keys of up to `limit` of them, in the order of keys. */
  parkedKeys(limit: number): { kind: RecordKind; key: string; revision: number }[]
  /** Whether this very record still waits. */
  isParked(record: ServingRecord): boolean
  /** Makes a parked record the served one. False, and nothing done, when another one came for its key meanwhile. */
  unpark(record: ServingRecord): boolean
  /** Records that this edge could not use and that nothing has replaced, oldest first. */
  refused(): Refusal[]
  /** The manifests of all sites that are served, for the collection of blobs. */
  servedManifests(): string[]
  /** Makes the next opening begin with an empty file. For an error that `isDamage` says yes to. */
  markDamaged(): void
}

type Row = { payload: string }

/** Opens the store for reading, as a worker does. Throws when the supervisor has not made it yet. */
export function openEdgeReader(folder: string): EdgeReader {
  const file = new DatabaseSync(join(folder, FILE), { readOnly: true })
  file.exec('pragma busy_timeout = 2000; pragma query_only = on')
  return readerOf(file)
}

function readerOf(file: DatabaseSync): EdgeReader {
  const select = file.prepare('select payload from record where kind = ? and key = ?')
  const names = file.prepare("select key from record where kind = 'name' and key > ? order by key limit ?")
  return {
    get: (kind, key) => lookup(select, kind, key),
    namesAfter: (after, limit) => names.all(after, limit).map(({ key }) => String(key)),
    close: () => file.close(),
  }
}

/** The files of an edge's records: those that are served, their copy, and a copy that is being made. */
export function storeFiles(folder: string): { readonly file: string; readonly copy: string; readonly draft: string } {
  return { file: join(folder, FILE), copy: join(folder, COPY), draft: join(folder, `${COPY}.new`) }
}

/**
 * Opens the store for writing, making it when it is missing. One process at a time: the supervisor.
 * A damaged file is moved aside (`onDamaged` hears of it). In its place comes the copy that was made last, and the
 * control plane sends what has changed since; where there is none an empty one, and it sends everything.
 */
export function openEdgeStore(folder: string, onDamaged: (detail: string) => void = () => undefined): EdgeStore {
  mkdirSync(folder, { recursive: true, mode: 0o750 })
  const problem = openProblem(folder)
  if (typeof problem !== 'string') return problem
  if (existsSync(join(folder, FILE))) renameSync(join(folder, FILE), join(folder, ASIDE))
  for (const rest of [`${FILE}-wal`, `${FILE}-shm`, DAMAGED_MARK]) rmSync(join(folder, rest), { force: true })
  const copy = openCopy(folder)
  const what = copy === null ? 'everything is taken anew' : 'its copy is served, and what came since is taken'
  onDamaged(`${join(folder, FILE)}: ${problem}; moved aside to ${ASIDE}, ${what} from the control plane`)
  return copy ?? openFile(folder)
}

/** The store as it is, or why it cannot be used. */
function openProblem(folder: string): EdgeStore | string {
  if (existsSync(join(folder, DAMAGED_MARK))) return 'damage was met while it was in use'
  // Also where a process was killed when it had moved a damaged one aside.
  if (!existsSync(join(folder, FILE)) && existsSync(join(folder, COPY))) return 'it is missing'
  try {
    return openFile(folder)
  } catch (error) {
    if (!isDamageAtOpening(error)) throw error
    return (error as Error).message
  }
}

/** Makes the copy the store, if there is one and it is sound. */
function openCopy(folder: string): EdgeStore | null {
  if (!existsSync(join(folder, COPY))) return null
  renameSync(join(folder, COPY), join(folder, FILE))
  try {
    if (isWhole(join(folder, FILE))) return openFile(folder)
  } catch (error) {
    if (!isDamageAtOpening(error)) throw error
  }
  for (const rest of [FILE, `${FILE}-wal`, `${FILE}-shm`]) rmSync(join(folder, rest), { force: true })
  return null
}

function isWhole(path: string): boolean {
  const file = new DatabaseSync(path)
  try {
    return (file.prepare('pragma quick_check(1)').get() as { quick_check: string }).quick_check === 'ok'
  } finally {
    file.close()
  }
}

/**
 * Opens the store as it is, for a supervisor that takes over from a running one: beginning anew would
 * leave visitors without an answer meanwhile. Throws what is wrong with it.
 */
export function openSoundEdgeStore(folder: string): EdgeStore {
  if (existsSync(join(folder, DAMAGED_MARK))) throw new Error('the records are damaged: restart the listener')
  try {
    return openFile(folder)
  } catch (error) {
    const reason = (error as Error).message
    throw new Error(`the records cannot be taken over as they are: restart the listener (${reason})`, { cause: error })
  }
}

/** Whether an error of the store says that its file is damaged (SQLITE_CORRUPT, SQLITE_NOTADB) or of another layout. */
export function isDamage(error: unknown): boolean {
  if (error instanceof LayoutError) return true
  const code = resultCode(error)
  return code === 11 || code === 26
}

/** The same of an error while a file is opened, where SQLITE_ERROR is "unsupported file format", a damaged head. */
export function isDamageAtOpening(error: unknown): boolean {
  return isDamage(error) || resultCode(error) === 1
}

/** SQLite's primary result code of an error, or null. */
function resultCode(error: unknown): number | null {
  const code = (error as { errcode?: unknown } | null)?.errcode
  return typeof code === 'number' ? code & 0xff : null
}

/** The file is of another layout than this version writes. */
class LayoutError extends Error {
  override name = 'LayoutError'
}

function openFile(folder: string): EdgeStore {
  const file = new DatabaseSync(join(folder, FILE))
  try {
    file.exec('pragma journal_mode = wal; pragma synchronous = full; pragma busy_timeout = 2000')
    prepareLayout(file)
    for (const suffix of ['', '-wal', '-shm']) chmodSync(join(folder, FILE + suffix), 0o640)
    const store = storeOf(file, folder)
    store.position()
    return store
  } catch (error) {
    file.close()
    throw error
  }
}

function prepareLayout(file: DatabaseSync): void {
  const layout = (file.prepare('pragma user_version').get() as { user_version: number }).user_version
  const isNew = file.prepare('select 1 from sqlite_schema limit 1').get() === undefined
  if (!isNew && layout !== LAYOUT) throw new LayoutError(`layout ${layout} where ${LAYOUT} is needed`)
  file.exec(`
    create table if not exists record (kind text, key text, revision integer not null, seen integer not null default 0,
      payload text not null, primary key (kind, key)) without rowid;
    create table if not exists parked (kind text, key text, revision integer not null, seen integer not null default 0,
      payload text not null, primary key (kind, key)) without rowid;
    create table if not exists refused (kind text, key text, revision integer not null, seen integer not null default 0,
      reason text not null, primary key (kind, key)) without rowid;
    create table if not exists meta (name text primary key, value text) without rowid;
    pragma user_version = ${LAYOUT};`)
}

function storeOf(file: DatabaseSync, folder: string): EdgeStore {
  const meta = metaOf(file)
  const write = writerOf(file, meta.snapshot)
  const parkedKeys = file.prepare('select kind, key, revision from parked order by kind, key limit ?')
  return {
    ...readerOf(file),
    position: meta.position,
    apply: (records, revision, heldBack = { parked: [], refused: [] }) =>
      transaction(file, () => {
        for (const record of records) write.serve(record, meta.snapshot())
        for (const record of heldBack.parked) write.park(record)
        for (const refusal of heldBack.refused) write.refuse(refusal)
        meta.set('revision', String(revision))
      }),
    beginSnapshot: () =>
      transaction(file, () => {
        meta.set('snapshot', String(meta.snapshot() + 1))
        meta.set('feedId', null)
        meta.set('revision', '0')
      }),
    endSnapshot: (feedId, revision) =>
      transaction(file, () => {
        const gone = sweep(file, meta.snapshot())
        meta.set('feedId', feedId)
        meta.set('revision', String(revision))
        return gone
      }),
    parked: () => file.prepare('select kind, key, revision, payload from parked order by revision').all().map(toRecord),
    parkedKeys: (limit) => parkedKeys.all(limit) as ReturnType<EdgeStore['parkedKeys']>,
    isParked: (record) => write.parkedSeen(record) !== null,
    unpark: (record) =>
      transaction(file, () => {
        const seen = write.parkedSeen(record)
        if (seen !== null) write.serve(record, seen)
        return seen !== null
      }),
    refused: () => file.prepare('select kind, key, revision, reason from refused order by revision').all() as Refusal[],
    servedManifests: () =>
      file
        .prepare(`select payload ->> 'manifest' as digest from record where kind = 'site' and digest is not null`)
        .all()
        .map(({ digest }) => String(digest)),
    markDamaged: () => writeFileSync(join(folder, DAMAGED_MARK), '', { mode: 0o640 }),
  }
}

type Meta = {
  readonly position: () => Position
  readonly snapshot: () => number
  readonly set: (name: string, value: string | null) => void
}

function metaOf(file: DatabaseSync): Meta {
  const select = file.prepare('select value from meta where name = ?')
  const upsert = file.prepare('insert or replace into meta (name, value) values (?, ?)')
  const read = (name: string): string | null => (select.get(name) as { value: string } | undefined)?.value ?? null
  return {
    position: () => ({ feedId: read('feedId'), revision: Number(read('revision') ?? 0) }),
    snapshot: () => Number(read('snapshot') ?? 0),
    set: (name, value) => void upsert.run(name, value),
  }
}

type Writer = {
  /** The record is what its key serves; `seen` is the snapshot that brought it. */
  readonly serve: (record: ServingRecord, seen: number) => void
  readonly park: (record: ServingRecord) => void
  readonly refuse: (refusal: Refusal) => void
  /** The snapshot that brought this very parked record, or null when it is not parked any more. */
  readonly parkedSeen: (record: ServingRecord) => number | null
}

function writerOf(file: DatabaseSync, snapshot: () => number): Writer {
  const upsert = file.prepare(
    'insert or replace into record (kind, key, revision, seen, payload) values (?, ?, ?, ?, ?)',
  )
  const remove = file.prepare('delete from record where kind = ? and key = ?')
  const keep = file.prepare('update record set seen = ? where kind = ? and key = ?')
  const parkRow = file.prepare('insert into parked (kind, key, revision, seen, payload) values (?, ?, ?, ?, ?)')
  const unparkRow = file.prepare('delete from parked where kind = ? and key = ?')
  const refuseRow = file.prepare('insert into refused (kind, key, revision, seen, reason) values (?, ?, ?, ?, ?)')
  const forgetRow = file.prepare('delete from refused where kind = ? and key = ?')
  const parkedRow = file.prepare('select seen from parked where kind = ? and key = ? and revision = ?')

  const clear = (kind: string, key: string): void => {
    unparkRow.run(kind, key)
    forgetRow.run(kind, key)
  }
  return {
    serve: ({ kind, key, revision, payload }, seen) => {
      clear(kind, key)
      if (payload === null) remove.run(kind, key)
      else upsert.run(kind, key, revision, seen, JSON.stringify(payload))
    },
    park: ({ kind, key, revision, payload }) => {
      clear(kind, key)
      keep.run(snapshot(), kind, key)
      parkRow.run(kind, key, revision, snapshot(), JSON.stringify(payload))
    },
    refuse: ({ kind, key, revision, reason }) => {
      clear(kind, key)
      keep.run(snapshot(), kind, key)
      refuseRow.run(kind, key, revision, snapshot(), reason)
    },
    parkedSeen: ({ kind, key, revision }) =>
      (parkedRow.get(kind, key, revision) as { seen: number } | undefined)?.seen ?? null,
  }
}

/** Removes what the snapshot did not bring, in every table; the keys that were served come back. */
function sweep(file: DatabaseSync, snapshot: number): { kind: RecordKind; key: string }[] {
  const gone = file.prepare('select kind, key from record where seen <> ?').all(snapshot)
  for (const table of ['record', 'parked', 'refused']) {
    file.prepare(`delete from ${table} where seen <> ?`).run(snapshot)
  }
  return gone as { kind: RecordKind; key: string }[]
}

function lookup<K extends RecordKind>(statement: StatementSync, kind: K, key: string): Payloads[K] | null {
  const row = statement.get(kind, key) as Row | undefined
  return row === undefined ? null : (JSON.parse(row.payload) as Payloads[K])
}

function toRecord(row: Record<string, unknown>): ServingRecord {
  return { ...row, payload: JSON.parse(String(row.payload)) } as ServingRecord
}
