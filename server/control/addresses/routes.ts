import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { IdParams, WriteQuery } from '../schema.ts'
import {
  AddressChange,
  AddressList,
  AddressListQuery,
  AddressView,
  Allocation,
  NewAddress,
  NewAddressAnswer,
} from './schema.ts'
import type { AddressService } from './service.ts'

const tags = ['addresses']

/** `/addresses`. */
export function addressRoutes(service: AddressService): FastifyPluginAsyncTypebox {
  return async (app) => {
    app.get(
      '/addresses',
      {
        schema: {
          tags,
          operationId: 'listAddresses',
          summary: 'Addresses: all for the platform, those of your own sites for a tenant',
          querystring: AddressListQuery,
          response: { 200: AddressList },
        },
      },
      (request) => service.list(request.actor, request.query),
    )

    app.post(
      '/addresses',
      {
        schema: {
          tags,
          operationId: 'createAddresses',
          summary: 'Add an address, a CIDR or a range (admin)',
          body: NewAddress,
          querystring: WriteQuery,
          response: { 201: NewAddressAnswer },
        },
      },
      async (request, reply) => {
        const created = await service.create(request.actor, request.body, request.query)
        return reply.code(201).send(created)
      },
    )

    app.get(
      '/addresses/:id',
      {
        schema: {
          tags,
          operationId: 'getAddress',
          summary: 'One address',
          params: IdParams,
          response: { 200: AddressView },
        },
      },
      (request) => service.get(request.actor, request.params.id),
    )

    app.patch(
      '/addresses/:id',
      {
        schema: {
          tags,
          operationId: 'changeAddress',
          summary: 'Change an address (admin)',
          params: IdParams,
          body: AddressChange,
          querystring: WriteQuery,
          response: { 200: AddressView },
        },
      },
      (request) => service.change(request.actor, request.params.id, request.body, request.query),
    )

    app.delete(
      '/addresses/:id',
      {
        schema: {
          tags,
          operationId: 'deleteAddress',
          summary: 'Delete an address that is not allocated (admin)',
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
      '/addresses/:id/allocate',
      {
        schema: {
          tags,
          operationId: 'allocateAddress',
          summary: 'Give a free dedicated address to a site (admin)',
          params: IdParams,
          body: Allocation,
          querystring: WriteQuery,
          response: { 200: AddressView },
        },
      },
      (request) => service.allocate(request.actor, request.params.id, request.body, request.query),
    )

    app.post(
      '/addresses/:id/deallocate',
      {
        schema: {
          tags,
          operationId: 'deallocateAddress',
          summary: 'Take an address from its site (admin)',
          params: IdParams,
          querystring: WriteQuery,
          response: { 200: AddressView },
        },
      },
      (request) => service.deallocate(request.actor, request.params.id, request.query),
    )
  }
}
