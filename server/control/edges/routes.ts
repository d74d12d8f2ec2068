import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { IdParams, ListQuery, WriteQuery } from '../schema.ts'
import { EdgeDetail, EdgeList } from './schema.ts'
import type { EdgeService } from './service.ts'

/** `/edges`: what each machine that runs the listener holds. */
export function edgeRoutes(service: EdgeService): FastifyPluginAsyncTypebox {
  const tags = ['edges']
  return async (app) => {
    app.get(
      '/edges',
      {
        schema: {
          tags,
          summary: 'List the edges and what each holds',
          operationId: 'listEdges',
          querystring: ListQuery,
          response: { 200: EdgeList },
        },
      },
      (request) => service.list(request.actor, request.query),
    )
    app.get(
      '/edges/:id',
      {
        schema: {
          tags,
          summary: 'Show one edge, with what it does not serve and why',
          operationId: 'getEdge',
          params: IdParams,
          response: { 200: EdgeDetail },
        },
      },
      (request) => service.get(request.actor, request.params.id),
    )
    app.delete(
      '/edges/:id',
      {
        schema: {
          tags,
          summary: 'Forget an edge that is gone for good',
          operationId: 'deleteEdge',
          params: IdParams,
          querystring: WriteQuery,
          response: { 204: Type.Null() },
        },
      },
      async (request, reply) => {
        await service.remove(request.actor, request.params.id, request.query)
        return reply.code(204).send(null)
      },
    )
  }
}
