import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { EventList, HistoryQuery, StreamQuery } from '../events/schema.ts'
import { EventStream, eventStreamFields } from '../schema.ts'
import type { EventHistory } from './history.ts'
import type { EventStreams } from './stream.ts'

const tags = ['events']

/** `/events`: live and past. The streams end before the server waits for open requests. */
export function eventRoutes(history: EventHistory, streams: EventStreams): FastifyPluginAsyncTypebox {
  return async (app) => {
    app.addHook('preClose', () => streams.close())
    app.get(
      '/events',
      {
        schema: {
          tags,
          summary: 'Follow what happens, as Server-Sent Events; resumes by Last-Event-ID',
          operationId: 'streamEvents',
          querystring: StreamQuery,
          response: {
            200: EventStream('Each event is an `id` and a `data` line; `data` is an item of GET /events/history'),
          },
        },
      },
      async (request, reply) => {
        const lastId = request.headers['last-event-id']
        const after = typeof lastId === 'string' && /^\d{1,18}$/.test(lastId) ? lastId : request.query.after
        const query = after === undefined ? request.query : { ...request.query, after }
        const stream = await streams.open(request.actor, query, request.checkActor)
        return reply.headers(eventStreamFields).send(stream)
      },
    )
    app.get(
      '/events/history',
      {
        schema: {
          tags,
          summary: 'List what has happened, newest first',
          operationId: 'listEvents',
          querystring: HistoryQuery,
          response: { 200: EventList },
        },
      },
      (request) => history(request.actor, request.query),
    )
  }
}
