import type { FastifyInstance } from 'fastify'
import { createHistogram } from '../../process/metrics-histogram.ts'
import type { MetricFamily } from '../../process/metrics-text.ts'

const BOUNDS_SECONDS = [0.005, 0.025, 0.1, 0.25, 1, 5, 30]

/** Measures the requests to this API. */
export type RequestMetrics = {
  /** Adds the hook; before the routes. */
  watch(app: FastifyInstance): void
  families(): MetricFamily[]
}

/** Makes the measure: by method, route as it is written in the code, and class of status. Streams are left out: they last. */
export function createRequestMetrics(): RequestMetrics {
  const seconds = createHistogram(
    'nameplate_api_request_seconds',
    'Duration of requests to the API, by method, route and class of status.',
    BOUNDS_SECONDS,
  )
  return {
    watch(app) {
      app.addHook('onResponse', async (request, reply) => {
        if (String(reply.getHeader('content-type')).startsWith('text/event-stream')) return
        const { url } = request.routeOptions
        const labels = {
          // Methods and paths that nobody wrote are one.
          method: url === undefined ? 'any' : request.method,
          route: url ?? 'none',
          status: `${Math.floor(reply.statusCode / 100)}xx`,
        }
        seconds.observe(labels, reply.elapsedTime / 1_000)
      })
    },
    families: () => [seconds.family()],
  }
}
