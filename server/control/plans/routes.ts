import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { IdParams, ListQuery, WriteQuery } from '../schema.ts'
import { NewPlan, PlanChange, PlanList, PlanView } from './schema.ts'
import type { PlanService } from './service.ts'

const tags = ['plans']

/** `/plans`. */
export function planRoutes(service: PlanService): FastifyPluginAsyncTypebox {
  return async (app) => {
    app.get(
      '/plans',
      {
        schema: {
          tags,
          summary: 'List plans',
          operationId: 'listPlans',
          querystring: ListQuery,
          response: { 200: PlanList },
        },
      },
      (request) => service.list(request.actor, request.query),
    )
    app.get(
      '/plans/:id',
      {
        schema: { tags, summary: 'Get a plan', operationId: 'getPlan', params: IdParams, response: { 200: PlanView } },
      },
      (request) => service.get(request.actor, request.params.id),
    )
    app.post(
      '/plans',
      {
        schema: {
          tags,
          summary: 'Add a plan (admin)',
          operationId: 'createPlan',
          querystring: WriteQuery,
          body: NewPlan,
          response: { 201: PlanView },
        },
      },
      async (request, reply) => reply.code(201).send(await service.create(request.actor, request.body, request.query)),
    )
    app.patch(
      '/plans/:id',
      {
        schema: {
          tags,
          summary: 'Change a plan (admin)',
          operationId: 'changePlan',
          params: IdParams,
          querystring: WriteQuery,
          body: PlanChange,
          response: { 200: PlanView },
        },
      },
      (request) => service.change(request.actor, request.params.id, request.body, request.query),
    )
    app.delete(
      '/plans/:id',
      {
        schema: {
          tags,
          summary: 'Delete a plan that nobody has (admin)',
          operationId: 'deletePlan',
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
