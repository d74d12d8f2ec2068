import { trafficFields } from '../../contract/traffic.ts'
import { type MetricFamily, processFamilies, type Sample } from '../../process/metrics-text.ts'
import type { WorkerCounters } from '../worker-messages.ts'
import type { PoolWorker } from '../worker-pool.ts'
import type { Observation } from './observation.ts'

/** What is told of an edge besides its counters. */
export type EdgeState = {
  readonly workers: readonly PoolWorker[]
  readonly started: number
  readonly isConnected: boolean
  readonly feedId: string | null
  readonly revision: number
  readonly refusedRecords: number
}

type Counted = Pick<WorkerCounters, 'handshakes' | 'refusedBy' | 'handshakeKinds' | 'contextUse'>

type Sums = Map<string, number>

/** Makes the families of an edge; counters of workers that have ended stay in the sums. */
export function createEdgeMetrics(): (state: EdgeState, observation: Pick<Observation, 'totals'>) => MetricFamily[] {
  const last = new Map<number, Counted>()
  const gone: Sums = new Map()
  const settle = (live: ReadonlySet<number>): void => {
    for (const [pid, counted] of last) {
      if (live.has(pid)) continue
      addTo(gone, counted)
      last.delete(pid)
    }
  }
  return (state, observation) => {
    settle(new Set(state.workers.map((worker) => worker.pid)))
    const sums: Sums = new Map(gone)
    for (const { pid, counters } of state.workers) {
      if (counters === null) continue
      last.set(pid, counters)
      addTo(sums, counters)
    }
    return [
      ...workerFamilies(state),
      ...sumFamilies(sums),
      ...trafficFamilies(observation),
      ...processFamilies('listener'),
    ]
  }
}

function addTo(sums: Sums, counted: Counted): void {
  for (const [key, value] of countsOf(counted)) sums.set(key, (sums.get(key) ?? 0) + value)
}

function* countsOf({ handshakes, refusedBy, handshakeKinds, contextUse }: Counted): Generator<[string, number]> {
  yield ['handshakes', handshakes]
  for (const [reason, value] of Object.entries(refusedBy ?? {})) yield [`refused ${reason}`, value]
  for (const [kind, value] of Object.entries(handshakeKinds ?? {})) yield [`kind ${kind}`, value]
  for (const [what, value] of Object.entries(contextUse ?? {})) yield [what, value]
}

function family(
  type: MetricFamily['type'],
  name: string,
  help: string,
  samples: number | readonly Sample[],
): MetricFamily {
  const all = typeof samples === 'number' ? [{ value: samples }] : samples
  return { name: `nameplate_edge_${name}`, help, type, samples: all }
}

function workerFamilies(state: EdgeState): MetricFamily[] {
  const sum = (of: (counters: WorkerCounters) => number | undefined): number =>
    state.workers.reduce((all, { counters }) => all + (counters === null ? 0 : (of(counters) ?? 0)), 0)
  const most = (of: (counters: WorkerCounters) => number | undefined): number =>
    state.workers.reduce((all, { counters }) => Math.max(all, counters === null ? 0 : (of(counters) ?? 0)), 0)
  return [
    family('gauge', 'workers', 'Workers that live.', state.workers.length),
    family('counter', 'worker_starts_total', 'Workers that were started, replacements included.', state.started),
    family(
      'gauge',
      'connections',
      'Open connections.',
      sum((c) => c.connections),
    ),
    family(
      'gauge',
      'contexts',
      'TLS contexts that are held.',
      sum((c) => c.contexts),
    ),
    family(
      'gauge',
      'context_bytes',
      'Memory of these contexts, estimated.',
      sum((c) => c.contextBytes),
    ),
    family(
      'gauge',
      'worker_resident_bytes',
      'Memory of the largest worker.',
      most((c) => c.residentBytes),
    ),
    family(
      'gauge',
      'event_loop_delay_seconds',
      'Longest delay of the last second, of the worst worker.',
      most((c) => c.loopDelayMs) / 1_000,
    ),
    family('gauge', 'link_connected', '1 while the control plane can be heard.', state.isConnected ? 1 : 0),
    family('gauge', 'feed_revision', 'Revision of the feed that is on disk.', state.revision),
    family('gauge', 'refused_records', 'Records that this edge cannot use.', state.refusedRecords),
  ]
}

function sumFamilies(sums: ReadonlyMap<string, number>): MetricFamily[] {
  const refusals: Sample[] = []
  const kinds: Sample[] = []
  for (const [key, value] of sums) {
    const [what, ...words] = key.split(' ')
    if (what === 'refused') refusals.push({ labels: { reason: words[0] ?? '' }, value })
    const [version = '', session = '', name = '', client = ''] = words
    if (what === 'kind') kinds.push({ labels: { version, session, name, client }, value })
  }
  const count = (what: string): number => sums.get(what) ?? 0
  const lookups = [
    { labels: { result: 'hit' }, value: count('hits') },
    { labels: { result: 'miss' }, value: count('misses') },
  ]
  return [
    family('counter', 'handshakes_total', 'Handshakes that were finished.', count('handshakes')),
    family('counter', 'handshake_kinds_total', 'The same by version, session, server name and class of client.', kinds),
    family('counter', 'refused_connections_total', 'Connections that were refused, by reason.', refusals),
    family('counter', 'context_lookups_total', 'Questions for the TLS context of a site.', lookups),
    family(
      'counter',
      'context_builds_total',
      'TLS contexts that were built, or found not to be possible.',
      count('builds'),
    ),
    family('counter', 'context_evictions_total', 'TLS contexts that made room for others.', count('evictions')),
  ]
}

function trafficFamilies(observation: Pick<Observation, 'totals'>): MetricFamily[] {
  const { counts, droppedLines } = observation.totals()
  const value = (field: (typeof trafficFields)[number]): number => counts[trafficFields.indexOf(field)] ?? 0
  const by = (label: string, values: Readonly<Record<string, number>>): Sample[] =>
    Object.entries(values).map(([text, number]) => ({ labels: { [label]: text }, value: number }))
  const statuses = {
    '1xx': value('status1xx'),
    '2xx': value('status2xx'),
    '3xx': value('status3xx'),
    '4xx': value('status4xx'),
    '5xx': value('status5xx'),
    none: value('aborted'),
  }
  const protocols = { 'HTTP/1.0': value('http10'), 'HTTP/1.1': value('http11'), 'HTTP/2': value('http2') }
  return [
    family('counter', 'requests_total', 'Requests that are over, by class of status.', by('status', statuses)),
    family('counter', 'requests_by_protocol_total', 'The same by protocol.', by('protocol', protocols)),
    family('counter', 'refused_requests_total', 'Requests that no site was asked for.', value('refused')),
    family('counter', 'misdirected_requests_total', 'Requests that were answered with 421.', value('misdirected')),
    family('counter', 'body_bytes_total', 'Bytes of bodies that were sent.', value('bytesOut')),
    family('counter', 'request_body_bytes_total', 'Bytes of bodies that clients sent.', value('bytesIn')),
    family('counter', 'dropped_log_lines_total', 'Lines of access logs that could not be written.', droppedLines),
  ]
}
