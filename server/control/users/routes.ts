import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { UserView } from '../auth/schema.ts'
import { IdParams, WriteQuery } from '../schema.ts'
import { NewUser, UserChange, UserList, UserQuery } from './schema.ts'
import type { UserService } from './service.ts'

const tags = ['users']
/** A change may try a password (`currentPassword`), so it is slowed down like a log-in. */
const CHANGE_RATE = { max: 60, timeWindow: 60_000 }

/** `/users`. */
export function userRoutes(service: UserService): FastifyPluginAsyncTypebox {
  return async (app) => {
    app.get(
      '/users',
      {
        schema: {
          tags,
          summary: 'List users (admin)',
          operationId: 'listUsers',
          querystring: UserQuery,
          response: { 200: UserList },
        },
      },
      (request) => service.list(request.actor, request.query),
    )
    app.get(
      '/users/:id',
      {
        schema: {
          tags,
          summary: 'Get a user (yourself, or admin)',
          operationId: 'getUser',
          params: IdParams,
          response: { 200: UserView },
        },
      },
      (request) => service.get(request.actor, request.params.id),
    )
    app.post(
      '/users',
      {
        schema: {
          tags,
          summary: 'Add a user (admin)',
          operationId: 'createUser',
          querystring: WriteQuery,
          body: NewUser,
          response: { 201: UserView },
        },
      },
      async (request, reply) => reply.code(201).send(await service.create(request.actor, request.body, request.query)),
    )
    app.patch(
      '/users/:id',
      {
        config: { rateLimit: CHANGE_RATE },
        schema: {
          tags,
          summary: 'Change a user (admin), or your own password',
          operationId: 'changeUser',
          params: IdParams,
          querystring: WriteQuery,
          body: UserChange,
          response: { 200: UserView },
        },
      },
      (request) => service.change(request.actor, request.params.id, request.body, request.query),
    )
    app.delete(
      '/users/:id',
      {
        schema: {
          tags,
          summary: 'Delete a user with sessions and tokens (admin)',
          operationId: 'deleteUser',
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
