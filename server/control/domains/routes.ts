import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { IdParams, WriteQuery } from '../schema.ts'
import { Diagnosis, HostnameCreate, HostnameList, HostnameQuery, HostnameUpdate, HostnameView } from './schema.ts'
import type { HostnameService } from './service.ts'

const tags = ['hostnames']

/** `/hostnames`. */
export function hostnameRoutes(service: HostnameService): FastifyPluginAsyncTypebox {
  return async (app) => {
    app.get(
      '/hostnames',
      {
        schema: {
          tags,
          operationId: 'listHostnames',
          summary: 'Hostnames that you may see',
          querystring: HostnameQuery,
          response: { 200: HostnameList },
        },
      },
      (request) => service.list(request.actor, request.query),
    )

    app.post(
      '/hostnames',
      {
        schema: {
          tags,
          operationId: 'createHostname',
          summary: 'Add a name to a site',
          description: 'The answer says how to prove that the name is yours; the proof is looked for by itself.',
          body: HostnameCreate,
          querystring: WriteQuery,
          response: { 201: HostnameView },
        },
      },
      async (request, reply) => {
        const hostname = await service.create(request.actor, request.body, request.query)
        return reply.code(201).send(hostname)
      },
    )

    app.get(
      '/hostnames/:id',
      {
        schema: {
          tags,
          operationId: 'getHostname',
          summary: 'One hostname',
          params: IdParams,
          response: { 200: HostnameView },
        },
      },
      (request) => service.get(request.actor, request.params.id),
    )

    app.patch(
      '/hostnames/:id',
      {
        schema: {
          tags,
          operationId: 'updateHostname',
          summary: 'Point a hostname at another site',
          params: IdParams,
          body: HostnameUpdate,
          querystring: WriteQuery,
          response: { 200: HostnameView },
        },
      },
      (request) => service.update(request.actor, request.params.id, request.body, request.query),
    )

    app.delete(
      '/hostnames/:id',
      {
        schema: {
          tags,
          operationId: 'deleteHostname',
          summary: 'Remove a hostname; it is not served any more',
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

    app.post(
      '/hostnames/:id/check',
      {
        schema: {
          tags,
          operationId: 'checkHostname',
          summary: 'Look for the proof now, and try a certificate that failed again',
          params: IdParams,
          response: { 200: HostnameView },
        },
      },
      (request) => service.check(request.actor, request.params.id),
    )

    app.get(
      '/hostnames/:id/diagnosis',
      {
        schema: {
          tags,
          operationId: 'diagnoseHostname',
          summary: 'What stands between a hostname and its visitors, looked at now',
          params: IdParams,
          response: { 200: Diagnosis },
        },
      },
      (request) => service.diagnosis(request.actor, request.params.id),
    )
  }
}
