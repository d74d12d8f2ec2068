import type { Page } from '../../process/metrics-server.ts'
import {
  METRICS_TYPE,
  type MetricFamily,
  metricsText,
  processFamilies,
  type Sample,
} from '../../process/metrics-text.ts'
import type { Db } from '../db.ts'

/** How long an answer is used again: it counts rows, so the database is asked once a minute however often it is read. */
const FRESH_MS = 60_000

type Row = { metric: string; label: string; value: number }

/** Makes the page `/metrics` of the control plane. Its number of series is bounded: none by site or name. */
export function createControlMetrics(db: Db): () => Promise<Page> {
  let made: { readonly atMs: number; readonly page: Promise<Page> } | null = null
  const make = async (): Promise<Page> => {
    const rows = await readRows(db).catch(() => null)
    const families = [...databaseFamilies(rows), ...processFamilies('control')]
    return { type: METRICS_TYPE, body: metricsText(families) }
  }
  return () => {
    if (made === null || performance.now() - made.atMs > FRESH_MS) made = { atMs: performance.now(), page: make() }
    return made.page
  }
}

function readRows(db: Db): Promise<Row[]> {
  return db.$queryRaw<Row[]>`
    select 'certificates' metric, state::text label, count(*)::float8 value from certificate group by state
    union all select 'orders', state::text, count(*)::float8 from "order" group by state
    union all select 'hostnames', ownership_state::text, count(*)::float8 from hostname group by ownership_state
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
  ['certificates', 'state', 'Certificates by state.'],
  ['orders', 'state', 'Orders that are kept, by state.'],
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
