import type { Page } from '../../process/metrics-server.ts'
import {
  METRICS_TYPE,
  type MetricFamily,
  metricsText,
  processFamilies,
  type Sample,
} from '../../process/metrics-text.ts'
import type { Db } from '../db.ts'
import { ageFamilies, countedFamilies, servedFamilies } from './certificate-metrics.ts'

/** What counts rows is asked for once a minute, however often the page is read. */
const COUNTED_MS = 60_000
/** What looks at the ends of indexes. */
const AGES_MS = 5_000

type Row = { metric: string; label: string; value: number }

/**
 * Makes the page `/metrics` of the control plane. Its number of series is bounded: none by site or name. `measured`
 * gives what this process has counted itself, fresh at each read.
 */
export function createControlMetrics(db: Db, measured: () => readonly MetricFamily[] = () => []): () => Promise<Page> {
  const counted = kept(COUNTED_MS, async () => {
    const rows = await readRows(db).catch(() => null)
    if (rows === null) return databaseFamilies(null)
    return [...databaseFamilies(rows), ...(await countedFamilies(db)), ...(await servedFamilies(db))]
  })
  const ages = kept(AGES_MS, () => ageFamilies(db).catch(() => []))
  return async () => {
    const families = [...(await counted()), ...(await ages()), ...measured(), ...processFamilies('control')]
    return { type: METRICS_TYPE, body: metricsText(families) }
  }
}

/** Makes something again when it is older than `freshMs`; all who ask meanwhile get the same, and a failure is not kept. */
function kept<T>(freshMs: number, make: () => Promise<T>): () => Promise<T> {
  let made: { readonly atMs: number; readonly value: Promise<T> } | null = null
  return () => {
    if (made !== null && performance.now() - made.atMs <= freshMs) return made.value
    const mine = { atMs: performance.now(), value: make() }
    made = mine
    mine.value.catch(() => {
      if (made === mine) made = null
    })
    return mine.value
  }
}

function readRows(db: Db): Promise<Row[]> {
  return db.$queryRaw<Row[]>`
    select 'hostnames' metric, ownership_state::text label, count(*)::float8 value from hostname group by ownership_state
    union all select 'feed_revision', '', revision::float8 from installation
    union all select 'feed_waiting', '', count(*)::float8 from feed_change
    union all select 'edges', case when lease_expires_at > now() then 'live' else 'gone' end, count(*)::float8
      from edge group by 2
    union all select 'edge_lag_revisions', '', coalesce(max(i.revision - e.revision), 0)::float8
      from edge e, installation i where e.lease_expires_at > now()
    union all select 'edge_exceptions', state::text, count(*)::float8 from edge_exception group by state
    union all select 'database_connections', coalesce(state, 'none'), count(*)::float8 from pg_stat_activity
      where datname = current_database() and application_name = 'nameplate' group by 2`
}

const described: readonly (readonly [metric: string, label: string, help: string])[] = [
  ['hostnames', 'state', 'Hostnames by the state of their ownership.'],
  ['feed_revision', '', 'Newest revision of the feed.'],
  ['feed_waiting', '', 'Changes that have no revision yet.'],
  ['edges', 'state', 'Edges, live by their lease or not.'],
  ['edge_lag_revisions', '', 'Revisions that the slowest live edge has not confirmed.'],
  ['edge_exceptions', 'state', 'Records that an edge does not serve.'],
  ['database_connections', 'state', 'Connections to the database by what they do.'],
]

/** `rows` null: the database did not answer. */
function databaseFamilies(rows: readonly Row[] | null): MetricFamily[] {
  const up: MetricFamily = {
    name: 'nameplate_database_up',
    help: '1 when the database has answered.',
    type: 'gauge',
    samples: [{ value: rows === null ? 0 : 1 }],
  }
  if (rows === null) return [up]
  const families = described.map(([metric, label, help]): MetricFamily => {
    const samples = rows
      .filter((row) => row.metric === metric)
      .map((row): Sample => {
        return label === '' ? { value: row.value } : { labels: { [label]: row.label }, value: row.value }
      })
    return { name: `nameplate_${metric}`, help, type: 'gauge', samples }
  })
  return [up, ...families]
}
