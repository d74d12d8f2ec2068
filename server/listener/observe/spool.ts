import { randomUUID } from 'node:crypto'
import { mkdirSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { addCounts, OTHER_SITE, type TrafficRow } from '../../contract/traffic.ts'
import type { Logger } from '../../process/log.ts'
import { isDamageAtOpening } from '../edge-store.ts'
import { transaction } from '../transaction.ts'

const FILE = 'traffic.sqlite'
/** Rows of one batch: a frame of the link holds many times that. */
const ROWS_PER_BATCH = 2_000
/** Rows that are kept while no control plane takes them; beyond, sites are counted together. */
const MAX_ROWS = 1_000_000

/** Longest wait for the other one of two supervisors that hand over to each other. */
const BUSY_MS = 10_000

/** A batch as it is sent: confirmed once, or sent again as it was. */
export type TrafficBatch = { readonly spoolId: string; readonly sequence: number; readonly rows: readonly TrafficRow[] }

/**
 * Counters on the edge's disk until the control plane has confirmed them. A batch has a number that is given
 * once; from the moment when it is taken to be sent it does not change, so that the receiver knows by the number
 * whether it has it. What comes meanwhile is added up in later batches: a control plane that is away for a day
 * costs a row for each site and hour.
 */
export type Spool = {
  /** On disk when it returns. Throws when the disk refuses; then nothing was taken. */
  add(rows: readonly TrafficRow[]): void
  /** The oldest batch, the same until it is confirmed; null when there is none. */
  next(): TrafficBatch | null
  /** The receiver has this batch for good. */
  confirm(sequence: number): void
  close(): void
}

/**
 * Opens the spool in `folder`. A damaged file is set aside and an empty one begun, under another id. Never throws:
 * where the disk refuses, counters are kept in memory, and those that nobody took are lost at the end.
 */
export function openSpool(folder: string, log: Logger, maxRows = MAX_ROWS): Spool {
  const path = join(folder, FILE)
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    return openFile(path, log, maxRows)
  } catch (err) {
    log.error({ err }, 'counters cannot be kept on disk; they are kept in memory until the listener is restarted')
    return spoolOf(':memory:', maxRows)
  }
}

function openFile(path: string, log: Logger, maxRows: number): Spool {
  try {
    return spoolOf(path, maxRows)
  } catch (err) {
    // Any other error says nothing of the file: another process may write to it at this moment.
    if (!isDamageAtOpening(err)) throw err
    log.error({ err }, 'the counters that wait for the control plane are damaged; counting anew')
    for (const suffix of ['', '-wal', '-shm'])
      try {
        renameSync(path + suffix, `${path}.damaged${suffix}`)
      } catch {
        // Not there.
      }
    return spoolOf(path, maxRows)
  }
}

const layout = `
  pragma busy_timeout = ${BUSY_MS}; pragma journal_mode = wal; pragma synchronous = full;
  create table if not exists spool (id text not null);
  create table if not exists batch (sequence integer primary key autoincrement, is_sent integer not null default 0);
  create table if not exists counter (
    site_id text not null, hour integer not null, sequence integer not null references batch (sequence),
    counts text not null, primary key (site_id, hour, sequence)) without rowid;
  create index if not exists counter_sequence on counter (sequence);`

function spoolOf(path: string, maxRows: number): Spool {
  const file = new DatabaseSync(path)
  try {
    file.exec(layout)
    return spoolIn(file, maxRows)
  } catch (error) {
    file.close()
    throw error
  }
}

function spoolIn(file: DatabaseSync, maxRows: number): Spool {
  const insertId = file.prepare('insert into spool (id) select ? where not exists (select 1 from spool)')
  insertId.run(randomUUID())
  const spoolId = String((file.prepare('select id from spool').get() as { id: string }).id)
  const unsent = file.prepare(
    `select c.sequence, c.counts from counter c join batch b using (sequence)
     where c.site_id = ? and c.hour = ? and b.is_sent = 0 limit 1`,
  )
  const update = file.prepare('update counter set counts = ? where site_id = ? and hour = ? and sequence = ?')
  const insert = file.prepare('insert into counter (site_id, hour, sequence, counts) values (?, ?, ?, ?)')
  const newest = file.prepare(
    `select b.sequence, (select count(*) from counter c where c.sequence = b.sequence) rows
     from batch b where b.is_sent = 0 order by b.sequence desc limit 1`,
  )
  const total = file.prepare('select count(*) n from counter')

  const openBatch = (): number => {
    const last = newest.get() as { sequence: number; rows: number } | undefined
    if (last !== undefined && last.rows < ROWS_PER_BATCH) return last.sequence
    return Number(file.prepare('insert into batch default values').run().lastInsertRowid)
  }
  const addRow = ({ siteId, hour, counts }: TrafficRow, isFull: boolean): void => {
    const known = unsent.get(siteId, hour) as { sequence: number; counts: string } | undefined
    if (known !== undefined) {
      const sum = JSON.parse(known.counts) as number[]
      addCounts(sum, counts)
      update.run(JSON.stringify(sum), siteId, hour, known.sequence)
    } else if (isFull && siteId !== OTHER_SITE) addRow({ siteId: OTHER_SITE, hour, counts }, isFull)
    else insert.run(siteId, hour, openBatch(), JSON.stringify(counts))
  }
  return {
    add(rows) {
      if (rows.length === 0) return
      transaction(file, () => {
        const isFull = (total.get() as { n: number }).n + rows.length > maxRows
        for (const row of rows) addRow(row, isFull)
      })
    },
    next() {
      const oldest = file.prepare('select sequence, is_sent from batch order by sequence limit 1').get() as
        | { sequence: number; is_sent: number }
        | undefined
      if (oldest === undefined) return null
      const { sequence } = oldest
      if (oldest.is_sent === 0) file.prepare('update batch set is_sent = 1 where sequence = ?').run(sequence)
      const rows = file.prepare('select site_id, hour, counts from counter where sequence = ?').all(sequence) as {
        site_id: string
        hour: number
        counts: string
      }[]
      const counted = rows.map((row) => ({ siteId: row.site_id, hour: row.hour, counts: JSON.parse(row.counts) }))
      return { spoolId, sequence, rows: counted }
    },
    confirm(sequence) {
      transaction(file, () => {
        file.prepare('delete from counter where sequence <= ?').run(sequence)
        file.prepare('delete from batch where sequence <= ?').run(sequence)
      })
    },
    close: () => file.close(),
  }
}
