import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox'
import { IdParams, Problem, WriteQuery } from '../../schema.ts'
import { CertificateDetail } from '../schema.ts'
import { CertificatePatch, CertificateUpload, VersionUpload } from './schema.ts'
import type { UploadService } from './service.ts'

const tags = ['certificates']

/** Routes of certificates that tenants bring themselves, relative to `/api/v1`. */
export function uploadRoutes(service: UploadService): FastifyPluginAsyncTypebox {
  return async (app) => {
    app.post(
      '/certificates',
      {
        schema: {
          tags,
          operationId: 'uploadCertificate',
          summary: 'Upload a certificate with its key; ?dryRun=true checks alone',
          querystring: WriteQuery,
          body: CertificateUpload,
          response: { 201: CertificateDetail, default: Problem },
        },
      },
      async (request, reply) => {
        const certificate = await service.create(request.actor, request.body, request.query)
        return reply.code(201).header('location', `/api/v1/certificates/${certificate.id}`).send(certificate)
      },
    )

    app.post(
      '/certificates/:id/versions',
      {
        schema: {
          tags,
          operationId: 'replaceCertificate',
          summary: 'Upload the successor of an uploaded certificate',
          params: IdParams,
          querystring: WriteQuery,
          body: VersionUpload,
          response: { 201: CertificateDetail, default: Problem },
        },
      },
      async (request, reply) => {
        const { actor, params, body, query } = request
        return reply.code(201).send(await service.replace(actor, params.id, body, query))
      },
    )

    app.patch(
      '/certificates/:id',
      {
        schema: {
          tags,
          operationId: 'updateCertificate',
          summary: 'Change whether ACME takes over before an uploaded certificate expires',
          params: IdParams,
          querystring: WriteQuery,
          body: CertificatePatch,
          response: { 200: CertificateDetail, default: Problem },
        },
      },
      (request) => service.update(request.actor, request.params.id, request.body, request.query),
    )

    app.delete(
      '/certificates/:id',
      {
        schema: {
          tags,
          operationId: 'deleteCertificate',
          summary: 'Go back to ACME: an uploaded certificate serves until its hostnames have others',
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
