import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { EventStream, eventStreamFields, IdParams } from '../schema.ts'
import type { LogTails } from './log-tails.ts'
import { Traffic, TrafficQuery } from './schema.ts'
import type { TrafficService } from './service.ts'

const tags = ['traffic']

/** `/traffic`, `/sites/{id}/traffic` and `/sites/{id}/access-log`. The streams end before the server waits for them. */
export function trafficRoutes(service: TrafficService, tails: LogTails): FastifyPluginAsyncTypebox {
  return async (app) => {
    app.addHook('preClose', async () => tails.close())
    app.get(
      '/sites/:id/access-log',
      {
        schema: {
          tags,
          operationId: 'followAccessLog',
          summary: 'Follow the access log of a site, as Server-Sent Events, from now on',
          params: IdParams,
          response: {
            200: EventStream(
              'Each event is a line of the log; one of the kind `missed` has a number of lines left out',
            ),
          },
        },
      },
      async (request, reply) => {
        const stream = await tails.open(request.actor, request.params.id, request.checkActor)
        return reply.headers(eventStreamFields).send(stream)
      },
    )
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
