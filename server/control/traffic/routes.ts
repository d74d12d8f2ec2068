import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { IdParams } from '../schema.ts'
import { Traffic, TrafficQuery } from './schema.ts'
import type { TrafficService } from './service.ts'

const tags = ['traffic']

/** `/traffic` and `/sites/{id}/traffic`. */
export function trafficRoutes(service: TrafficService): FastifyPluginAsyncTypebox {
  return async (app) => {
    app.get(
      '/sites/:id/traffic',
      {
        schema: {
          tags,
          operationId: 'getSiteTraffic',
          summary: 'Requests of a site by hour or day; a few seconds old',
          params: IdParams,
          querystring: TrafficQuery,
          response: { 200: Traffic },
        },
      },
      (request) => service.ofSite(request.actor, request.params.id, request.query),
    )
    app.get(
      '/traffic',
      {
        schema: {
          tags,
          operationId: 'getTraffic',
          summary: 'Requests of all sites together by hour or day (admin)',
          querystring: TrafficQuery,
          response: { 200: Traffic },
        },
      },
      (request) => service.ofAll(request.actor, request.query),
    )
  }
}
