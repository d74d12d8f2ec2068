import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { IdParams, WriteQuery } from '../schema.ts'
import {
  DnsProviderChange,
  DnsProviderList,
  DnsProviderListQuery,
  DnsProviderRemoveQuery,
  DnsProviderTest,
  DnsProviderTestAnswer,
  DnsProviderView,
  NewDnsProvider,
} from './schema.ts'
import type { DnsProviderService } from './service.ts'

const tags = ['dns providers']

/** A test makes calls to somebody else's servers. */
const TEST_RATE = { max: 30, timeWindow: '1 minute' }

/** `/dns-providers`. */
export function dnsProviderRoutes(service: DnsProviderService): FastifyPluginAsyncTypebox {
  return async (app) => {
    app.get(
      '/dns-providers',
      {
        schema: {
          tags,
          operationId: 'listDnsProviders',
          summary: 'DNS providers',
          querystring: DnsProviderListQuery,
          response: { 200: DnsProviderList },
        },
      },
      (request) => service.list(request.actor, request.query),
    )

    app.post(
      '/dns-providers',
      {
        schema: {
          tags,
          operationId: 'createDnsProvider',
          summary: 'Add a DNS provider',
          body: NewDnsProvider,
          querystring: WriteQuery,
          response: { 201: DnsProviderView },
        },
      },
      async (request, reply) => {
        const created = await service.create(request.actor, request.body, request.query)
        return reply.code(201).send(created)
      },
    )

    app.get(
      '/dns-providers/:id',
      {
        schema: {
          tags,
          operationId: 'getDnsProvider',
          summary: 'One DNS provider',
          params: IdParams,
          response: { 200: DnsProviderView },
        },
      },
      (request) => service.get(request.actor, request.params.id),
    )

    app.patch(
      '/dns-providers/:id',
      {
        schema: {
          tags,
          operationId: 'changeDnsProvider',
          summary: 'Change a DNS provider',
          params: IdParams,
          body: DnsProviderChange,
          querystring: WriteQuery,
          response: { 200: DnsProviderView },
        },
      },
      (request) => service.change(request.actor, request.params.id, request.body, request.query),
    )

    app.delete(
      '/dns-providers/:id',
      {
        schema: {
          tags,
          operationId: 'deleteDnsProvider',
          summary: 'Delete a DNS provider',
          params: IdParams,
          querystring: DnsProviderRemoveQuery,
          response: { 204: Type.Null() },
        },
      },
      async (request, reply) => {
        await service.remove(request.actor, request.params.id, request.query)
        return reply.code(204).send(null)
      },
    )

    app.post(
      '/dns-providers/:id/test',
      {
        config: { rateLimit: TEST_RATE },
        schema: {
          tags,
          operationId: 'testDnsProvider',
          summary: 'Write, find and remove a TXT record, and say what happened',
          params: IdParams,
          body: DnsProviderTest,
          response: { 200: DnsProviderTestAnswer },
        },
      },
      (request) => service.test(request.actor, request.params.id, request.body.zone),
    )
  }
}
