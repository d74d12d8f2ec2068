import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { IdParams, WriteQuery } from '../schema.ts'
import { NewTenant, TenantChange, TenantList, TenantQuery, TenantView } from './schema.ts'
import type { TenantService } from './service.ts'

const tags = ['tenants']

/** `/tenants`. */
export function tenantRoutes(service: TenantService): FastifyPluginAsyncTypebox {
  return async (app) => {
    app.get(
      '/tenants',
      {
        schema: {
          tags,
          summary: 'List tenants',
          operationId: 'listTenants',
          querystring: TenantQuery,
          response: { 200: TenantList },
        },
      },
      (request) => service.list(request.actor, request.query),
    )
    app.get(
      '/tenants/:id',
      {
        schema: {
          tags,
          summary: 'Get a tenant',
          operationId: 'getTenant',
          params: IdParams,
          response: { 200: TenantView },
        },
      },
      (request) => service.get(request.actor, request.params.id),
    )
    app.post(
      '/tenants',
      {
        schema: {
          tags,
          summary: 'Add a tenant (admin)',
          operationId: 'createTenant',
          querystring: WriteQuery,
          body: NewTenant,
          response: { 201: TenantView },
        },
      },
      async (request, reply) => reply.code(201).send(await service.create(request.actor, request.body, request.query)),
    )
    app.patch(
      '/tenants/:id',
      {
        schema: {
          tags,
          summary: 'Rename, suspend or resume a tenant, or give it a plan (admin)',
          operationId: 'changeTenant',
          params: IdParams,
          querystring: WriteQuery,
          body: TenantChange,
          response: { 200: TenantView },
        },
      },
      (request) => service.change(request.actor, request.params.id, request.body, request.query),
    )
    app.delete(
      '/tenants/:id',
      {
        schema: {
          tags,
          summary: 'Delete a tenant without sites and hostnames (admin)',
          operationId: 'deleteTenant',
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
