import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { IdParams, ListQuery, WriteQuery } from '../schema.ts'
import type { MemberService } from './members.ts'
import { MemberChange, MemberList, MemberParams, MemberView, NewMember } from './schema.ts'

const tags = ['tenants']

/** `/tenants/{id}/members`. */
export function memberRoutes(service: MemberService): FastifyPluginAsyncTypebox {
  return async (app) => {
    app.get(
      '/tenants/:id/members',
      {
        schema: {
          tags,
          summary: 'List the people of a tenant',
          operationId: 'listMembers',
          params: IdParams,
          querystring: ListQuery,
          response: { 200: MemberList },
        },
      },
      (request) => service.list(request.actor, request.params.id, request.query),
    )
    app.post(
      '/tenants/:id/members',
      {
        schema: {
          tags,
          summary: 'Add an existing user to a tenant (owner)',
          operationId: 'addMember',
          params: IdParams,
          querystring: WriteQuery,
          body: NewMember,
          response: { 201: MemberView },
        },
      },
      async (request, reply) =>
        reply.code(201).send(await service.add(request.actor, request.params.id, request.body, request.query)),
    )
    app.patch(
      '/tenants/:id/members/:userId',
      {
        schema: {
          tags,
          summary: "Change a member's role (owner)",
          operationId: 'changeMember',
          params: MemberParams,
          querystring: WriteQuery,
          body: MemberChange,
          response: { 200: MemberView },
        },
      },
      ({ actor, params, body, query }) => service.change(actor, params.id, params.userId, body, query),
    )
    app.delete(
      '/tenants/:id/members/:userId',
      {
        schema: {
          tags,
          summary: 'Remove a member (owner), or leave',
          operationId: 'removeMember',
          params: MemberParams,
          querystring: WriteQuery,
          response: { 204: Type.Null() },
        },
      },
      async ({ actor, params, query }, reply) => {
        await service.remove(actor, params.id, params.userId, query)
        return reply.code(204).send(null)
      },
    )
  }
}
