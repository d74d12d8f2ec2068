import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { IdParams, ListQuery, WriteQuery } from '../../schema.ts'
import { CreatedToken, NewToken, TokenList, TokenView } from './schema.ts'
import type { TokenService } from './service.ts'

const tags = ['tokens']

/** `/tokens`. */
export function tokenRoutes(service: TokenService): FastifyPluginAsyncTypebox {
  return async (app) => {
    app.get(
      '/tokens',
      {
        schema: {
          tags,
          summary: 'List API tokens',
          operationId: 'listTokens',
          querystring: ListQuery,
          response: { 200: TokenList },
        },
      },
      (request) => service.list(request.actor, request.query),
    )
    app.get(
      '/tokens/:id',
      {
        schema: {
          tags,
          summary: 'Get an API token',
          operationId: 'getToken',
          params: IdParams,
          response: { 200: TokenView },
        },
      },
      (request) => service.get(request.actor, request.params.id),
    )
    app.post(
      '/tokens',
      {
        schema: {
          tags,
          summary: 'Make an API token for yourself; it is shown this once',
          operationId: 'createToken',
          querystring: WriteQuery,
          body: NewToken,
          response: { 201: CreatedToken },
        },
      },
      async (request, reply) => {
        const token = await service.create(request.actor, request.body, request.query)
        return reply.code(201).header('cache-control', 'no-store').send(token)
      },
    )
    app.delete(
      '/tokens/:id',
      {
        schema: {
          tags,
          summary: 'Revoke an API token',
          operationId: 'revokeToken',
          params: IdParams,
          querystring: WriteQuery,
          response: { 204: Type.Null() },
        },
      },
      async (request, reply) => {
        await service.revoke(request.actor, request.params.id, request.query)
        return reply.code(204).send(null)
      },
    )
  }
}
