import type { Logger } from '../../process/log.ts'
import type { MetricsServer, Page } from '../../process/metrics-server.ts'
import { startMetricsServer } from '../../process/metrics-server.ts'
import { METRICS_TYPE, metricsText } from '../../process/metrics-text.ts'
import type { Settings } from '../../process/settings.ts'
import type { EdgeStore } from '../edge-store.ts'
import type { Supervisor } from '../supervisor.ts'
import type { WorkerPool } from '../worker-pool.ts'
import { createEdgeMetrics, type EdgeState } from './edge-metrics.ts'

/** What of a supervisor is shown. */
export type StatusSource = Pick<Supervisor, 'observation' | 'https' | 'http'> & {
  readonly edgeId: string
  readonly members: WorkerPool['members']
}

/** Serves `/metrics`, `/status` (JSON) and `/` (the same to read) of this listener. */
export function startStatusServer(deps: {
  readonly settings: Pick<Settings, 'metricsListen'>
  readonly supervisor: StatusSource
  readonly store: Pick<EdgeStore, 'position' | 'refused'>
  readonly isConnected: () => boolean
  readonly version: string
  readonly log: Logger
}): MetricsServer {
  const { supervisor, version, log } = deps
  const { store } = deps
  const { members, observation, https, http, edgeId } = supervisor
  const families = createEdgeMetrics()
  const state = (): EdgeState => ({
    ...members(),
    ...store.position(),
    isConnected: deps.isConnected(),
    refusedRecords: store.refused().length,
  })
  const status = (): object => {
    const { workers, started, ...rest } = state()
    const { droppedLines } = observation.totals()
    const ages = workers.map(({ pid, startedAtMs, counters }) => ({
      pid,
      ageSeconds: Math.round((Date.now() - startedAtMs) / 1_000),
      ...(counters ?? {}),
      handshakeKinds: undefined,
    }))
    const refused = store.refused().slice(0, 20)
    const ports = { https, http }
    return {
      version,
      edgeId,
      ports,
      ...rest,
      started,
      workers: ages,
      droppedLines,
      refused,
    }
  }
  const json = (): Page => ({ type: 'application/json', body: `${JSON.stringify(status(), null, 2)}\n` })
  return startMetricsServer({
    listen: deps.settings.metricsListen,
    log,
    pages: {
      '/metrics': () => ({ type: METRICS_TYPE, body: metricsText(families(state(), observation)) }),
      '/status': json,
      '/': () => ({ type: 'text/html; charset=utf-8', body: readable(json().body) }),
    },
  })
}

function readable(text: string): string {
  const entities: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;' }
  const body = text.replace(/[&<>]/g, (one) => entities[one] ?? one)
  const head =
    '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
  return `${head}<meta http-equiv="refresh" content="5"><title>Nameplate listener</title><h1>Listener</h1><pre>${body}</pre></html>\n`
}
