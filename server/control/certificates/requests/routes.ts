import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox'
import { IdParams, Problem, WriteQuery } from '../../schema.ts'
import { CertificateDetail } from '../schema.ts'
import {
  CertificateRequest,
  CertificateRequestCreate,
  CertificateRequestList,
  CertificateRequestQuery,
  RequestedCertificate,
} from './schema.ts'
import type { RequestService } from './service.ts'

const tags = ['certificates']

/** Routes of requests for certificates, relative to `/api/v1`. */
export function requestRoutes(service: RequestService): FastifyPluginAsyncTypebox {
  return async (app) => {
    app.get(
      '/certificate-requests',
      {
        schema: {
          tags,
          operationId: 'listCertificateRequests',
          summary: 'List requests for certificates',
          querystring: CertificateRequestQuery,
          response: { 200: CertificateRequestList, default: Problem },
        },
      },
      (request) => service.list(request.actor, request.query),
    )

    app.post(
      '/certificate-requests',
      {
        schema: {
          tags,
          operationId: 'createCertificateRequest',
          summary: 'Make a key that never leaves, and the request (CSR) for it',
          querystring: WriteQuery,
          body: CertificateRequestCreate,
          response: { 201: CertificateRequest, default: Problem },
        },
      },
      async (request, reply) => {
        const created = await service.create(request.actor, request.body, request.query)
        return reply.code(201).header('location', `/api/v1/certificate-requests/${created.id}`).send(created)
      },
    )

    app.get(
      '/certificate-requests/:id',
      {
        schema: {
          tags,
          operationId: 'getCertificateRequest',
          summary: 'Get a request for a certificate, never its key',
          params: IdParams,
          response: { 200: CertificateRequest, default: Problem },
        },
      },
      (request) => service.get(request.actor, request.params.id),
    )

    app.post(
      '/certificate-requests/:id/certificate',
      {
        schema: {
          tags,
          operationId: 'acceptRequestedCertificate',
          summary: 'Hand in what the CA gave for a request',
          params: IdParams,
          querystring: WriteQuery,
          body: RequestedCertificate,
          response: { 201: CertificateDetail, default: Problem },
        },
      },
      async ({ actor, params, body, query }, reply) => {
        const certificate = await service.accept(actor, params.id, body, query)
        return reply.code(201).header('location', `/api/v1/certificates/${certificate.id}`).send(certificate)
      },
    )

    app.delete(
      '/certificate-requests/:id',
      {
        schema: {
          tags,
          operationId: 'deleteCertificateRequest',
          summary: 'Delete a request with its key; its certificate stays',
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
  }
}
