import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { IdParams, Problem, WriteQuery } from '../schema.ts'
import { CertificateDetail, CertificateList, CertificateQuery, Operation } from './schema.ts'
import type { CertificateService } from './service.ts'

/** Routes of certificates and of the operations on them, relative to `/api/v1`. */
export function certificateRoutes(service: CertificateService): FastifyPluginAsyncTypebox {
  return async (app) => {
    app.get(
      '/certificates',
      {
        schema: {
          tags: ['certificates'],
          operationId: 'listCertificates',
          summary: 'List certificates',
          querystring: CertificateQuery,
          response: { 200: CertificateList, default: Problem },
        },
      },
      (request) => service.list(request.actor, request.query),
    )

    app.get(
      '/certificates/:id',
      {
        schema: {
          tags: ['certificates'],
          operationId: 'getCertificate',
          summary: 'Get a certificate with its chain and history, never its key',
          params: IdParams,
          response: { 200: CertificateDetail, default: Problem },
        },
      },
      (request) => service.get(request.actor, request.params.id),
    )

    app.post(
      '/certificates/:id/renew',
      {
        schema: {
          tags: ['certificates'],
          operationId: 'renewCertificate',
          summary: 'Order a new certificate now',
          params: IdParams,
          querystring: WriteQuery,
          response: { 202: Operation, default: Problem },
        },
      },
      async (request, reply) => {
        const operation = await service.renew(request.actor, request.params.id, request.query)
        return reply.code(202).header('location', `/api/v1/operations/${operation.id}`).send(operation)
      },
    )

    app.get(
      '/operations/:id',
      {
        schema: {
          tags: ['operations'],
          operationId: 'getOperation',
          summary: 'Get a slow action that was answered with 202',
          params: IdParams,
          response: { 200: Operation, default: Problem },
        },
      },
      (request) => service.operation(request.actor, request.params.id),
    )
  }
}
