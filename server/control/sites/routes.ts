import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { IdParams, WriteQuery } from '../schema.ts'
import { NewSite, SiteChange, SiteList, SiteListQuery, SiteView } from './schema.ts'
import type { SiteService } from './service.ts'

const tags = ['sites']

/** `/sites`. */
export function siteRoutes(service: SiteService): FastifyPluginAsyncTypebox {
  return async (app) => {
    app.get(
      '/sites',
      {
        schema: {
          tags,
          operationId: 'listSites',
          summary: 'Sites that you may see',
          querystring: SiteListQuery,
          response: { 200: SiteList },
        },
      },
      (request) => service.list(request.actor, request.query),
    )

    app.post(
      '/sites',
      {
        schema: {
          tags,
          operationId: 'createSite',
          summary: 'Make a site',
          body: NewSite,
          querystring: WriteQuery,
          response: { 201: SiteView },
        },
      },
      async (request, reply) => {
        const site = await service.create(request.actor, request.body, request.query)
        return reply.code(201).send(site)
      },
    )

    app.get(
      '/sites/:id',
      {
        schema: {
          tags,
          operationId: 'getSite',
          summary: 'One site',
          params: IdParams,
          response: { 200: SiteView },
        },
      },
      (request) => service.get(request.actor, request.params.id),
    )

    app.patch(
      '/sites/:id',
      {
        schema: {
          tags,
          operationId: 'changeSite',
          summary: 'Change a site',
          params: IdParams,
          body: SiteChange,
          querystring: WriteQuery,
          response: { 200: SiteView },
        },
      },
      (request) => service.change(request.actor, request.params.id, request.body, request.query),
    )

    app.delete(
      '/sites/:id',
      {
        schema: {
          tags,
          operationId: 'deleteSite',
          summary: 'Delete a site that no hostname or address points at, with its releases',
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
