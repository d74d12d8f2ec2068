import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox'
import { Id, IdParams, ListQuery, Problem, WriteQuery } from '../schema.ts'
import type { IssuerService } from './issuer-service.ts'
import { Issuer, IssuerCreate, IssuerList, IssuerPatch } from './schema.ts'

const tags = ['issuers']
const Pem = Type.String({ description: 'One certificate in PEM.' })

/** Routes of issuers, relative to `/api/v1`. All but the root download are for administrators. */
export function issuerRoutes(service: IssuerService): FastifyPluginAsyncTypebox {
  return async (app) => {
    app.get(
      '/issuers',
      {
        schema: {
          tags,
          operationId: 'listIssuers',
          summary: 'List certificate issuers',
          querystring: ListQuery,
          response: { 200: IssuerList, default: Problem },
        },
      },
      (request) => service.list(request.actor, request.query),
    )

    app.post(
      '/issuers',
      {
        schema: {
          tags,
          operationId: 'createIssuer',
          summary: 'Add an ACME directory; names of the local CA are then issued by it',
          querystring: WriteQuery,
          body: IssuerCreate,
          response: { 201: Issuer, default: Problem },
        },
      },
      async (request, reply) => {
        const issuer = await service.create(request.actor, request.body, request.query)
        return reply.code(201).header('location', `/api/v1/issuers/${issuer.id}`).send(issuer)
      },
    )

    app.get(
      '/issuers/:id',
      {
        schema: {
          tags,
          operationId: 'getIssuer',
          summary: 'Get a certificate issuer',
          params: IdParams,
          response: { 200: Issuer, default: Problem },
        },
      },
      (request) => service.get(request.actor, request.params.id),
    )

    app.patch(
      '/issuers/:id',
      {
        schema: {
          tags,
          operationId: 'updateIssuer',
          summary: 'Change a certificate issuer, or agree to its terms',
          params: IdParams,
          querystring: WriteQuery,
          body: IssuerPatch,
          response: { 200: Issuer, default: Problem },
        },
      },
      (request) => service.update(request.actor, request.params.id, request.body, request.query),
    )

    app.delete(
      '/issuers/:id',
      {
        schema: {
          tags,
          operationId: 'deleteIssuer',
          summary: 'Remove an issuer that has issued nothing',
          params: IdParams,
          querystring: WriteQuery,
          response: { 204: Type.Null(), default: Problem },
        },
      },
      async (request, reply) => {
        await service.remove(request.actor, request.params.id, request.query)
        return reply.code(204).send(null)
      },
    )

    app.get(
      '/issuers/:id/root.pem',
      {
        schema: {
          tags,
          operationId: 'getIssuerRoot',
          summary: 'Download the root of the local CA (id, or "local"); open to everybody',
          security: [],
          params: Type.Object({ id: Type.Union([Type.Literal('local'), Id]) }),
          produces: ['application/x-pem-file'],
          response: { 200: Pem, default: Problem },
        },
      },
      async (request, reply) => {
        const pem = await service.rootPem(request.params.id)
        const headers = { 'content-disposition': 'attachment; filename="nameplate-local-ca.pem"' }
        return reply.headers(headers).type('application/x-pem-file').send(pem)
      },
    )
  }
}
