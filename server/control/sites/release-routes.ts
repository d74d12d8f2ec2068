import { Readable } from 'node:stream'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { AppError } from '../errors.ts'
import { IdParams, ListQuery, WriteQuery } from '../schema.ts'
import type { ReleaseService } from './release-service.ts'
import { ReleaseList, ReleaseParams, ReleaseView, UploadQuery } from './schema.ts'

const tags = ['sites']

/** What an archive may be called; which one it is, its first bytes say. */
const archiveTypes = [
  'application/zip',
  'application/x-zip-compressed',
  'application/gzip',
  'application/x-gzip',
  'application/x-compressed-tar',
  'application/octet-stream',
]

/** Longest silence while an upload waits for its turn and is unpacked. */
const ANSWER_MS = 20 * 60_000

/** `/sites/{id}/releases`. The body of an upload is handed on as a stream, here alone. */
export function releaseRoutes(service: ReleaseService): FastifyPluginAsyncTypebox {
  return async (app) => {
    app.addContentTypeParser(archiveTypes, (_request, payload, done) => done(null, payload))
    app.addContentTypeParser('*', (_request, _payload, done) => done(wrongType()))

    app.post(
      '/sites/:id/releases',
      {
        config: { takesIdempotencyKey: false },
        schema: {
          tags,
          operationId: 'uploadRelease',
          summary: 'Upload a .zip or .tar.gz file as a new release',
          description:
            'The body is the archive itself. A single folder around everything is stripped; hidden files are left out.',
          consumes: archiveTypes,
          body: Type.Unsafe<unknown>({ description: 'The archive itself.' }),
          params: IdParams,
          querystring: UploadQuery,
          response: { 201: ReleaseView },
        },
      },
      async (request, reply) => {
        const { body } = request
        if (!(body instanceof Readable)) throw wrongType()
        holdOpen(request.raw.socket)
        const announcedBytes = contentLength(request.headers['content-length'])
        const { id } = request.params
        const activate = request.query.activate ?? true
        const release = await service.create(request.actor, id, { body, announcedBytes }, activate)
        return reply.code(201).header('location', `/api/v1/sites/${id}/releases/${release.id}`).send(release)
      },
    )

    app.get(
      '/sites/:id/releases',
      {
        schema: {
          tags,
          operationId: 'listReleases',
          summary: "A site's releases, newest first",
          params: IdParams,
          querystring: ListQuery,
          response: { 200: ReleaseList },
        },
      },
      (request) => service.list(request.actor, request.params.id, request.query),
    )

    app.get(
      '/sites/:id/releases/:releaseId',
      {
        schema: {
          tags,
          operationId: 'getRelease',
          summary: 'One release',
          params: ReleaseParams,
          response: { 200: ReleaseView },
        },
      },
      (request) => service.get(request.actor, request.params.id, request.params.releaseId),
    )

    app.post(
      '/sites/:id/releases/:releaseId/activate',
      {
        schema: {
          tags,
          operationId: 'activateRelease',
          summary: 'Serve this release: roll back or forward',
          params: ReleaseParams,
          querystring: WriteQuery,
          response: { 200: ReleaseView },
        },
      },
      (request) => service.activate(request.actor, request.params.id, request.params.releaseId, request.query),
    )

    app.delete(
      '/sites/:id/releases/:releaseId',
      {
        schema: {
          tags,
          operationId: 'deleteRelease',
          summary: 'Delete a release that is not served',
          params: ReleaseParams,
          querystring: WriteQuery,
          response: { 204: Type.Null() },
        },
      },
      async (request, reply) => {
        await service.remove(request.actor, request.params.id, request.params.releaseId, request.query)
        return reply.code(204).send(null)
      },
    )
  }
}

function wrongType(): AppError {
  return new AppError(
    'UNSUPPORTED_MEDIA_TYPE',
    'Send a .zip or .tar.gz file as the body, with Content-Type application/zip or application/gzip.',
  )
}

/** Nothing is sent while an archive is unpacked: the connection must not end as an idle one. */
function holdOpen(socket: { setTimeout?: (ms: number) => unknown }): void {
  socket.setTimeout?.(ANSWER_MS)
}

function contentLength(header: string | undefined): number | null {
  return header !== undefined && /^\d{1,15}$/.test(header) ? Number(header) : null
}
