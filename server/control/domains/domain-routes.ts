import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { IdParams, WriteQuery } from '../schema.ts'
import type { DomainService } from './domain-service.ts'
import { DomainCreate, DomainList, DomainQuery, DomainView } from './schema.ts'

const tags = ['domains']

/** `/domains`. */
export function domainRoutes(service: DomainService): FastifyPluginAsyncTypebox {
  return async (app) => {
    app.get(
      '/domains',
      {
        schema: {
          tags,
          operationId: 'listDomains',
          summary: 'Domains that you may see',
          querystring: DomainQuery,
          response: { 200: DomainList },
        },
      },
      (request) => service.list(request.actor, request.query),
    )

    app.post(
      '/domains',
      {
        schema: {
          tags,
          operationId: 'createDomain',
          summary: 'Claim a domain before there is a hostname under it',
          body: DomainCreate,
          querystring: WriteQuery,
          response: { 201: DomainView },
        },
      },
      async (request, reply) => {
        const domain = await service.create(request.actor, request.body, request.query)
        return reply.code(201).send(domain)
      },
    )

    app.get(
      '/domains/:id',
      {
        schema: {
          tags,
          operationId: 'getDomain',
          summary: 'One domain with its proofs',
          params: IdParams,
          response: { 200: DomainView },
        },
      },
      (request) => service.get(request.actor, request.params.id),
    )

    app.post(
      '/domains/:id/check',
      {
        schema: {
          tags,
          operationId: 'checkDomain',
          summary: "Look for the domain's own record now",
          params: IdParams,
          response: { 200: DomainView },
        },
      },
      (request) => service.check(request.actor, request.params.id),
    )

    app.delete(
      '/domains/:id',
      {
        schema: {
          tags,
          operationId: 'deleteDomain',
          summary: 'Give up a domain without hostnames',
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
