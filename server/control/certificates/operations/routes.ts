import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { IdParams, Problem, WriteQuery } from '../../schema.ts'
import { Operation } from '../schema.ts'
import type { AccountService } from './account-service.ts'
import { Revocation, Rollback } from './schema.ts'
import type { VersionService } from './service.ts'

/** Routes of what is wanted of a CA besides orders, relative to `/api/v1`; those of accounts are for administrators. */
export function operationRoutes(versions: VersionService, accounts: AccountService): FastifyPluginAsyncTypebox {
  return async (app) => {
    app.post(
      '/certificates/:id/revoke',
      {
        schema: {
          tags: ['certificates'],
          operationId: 'revokeCertificate',
          summary: 'Revoke a certificate at its CA; hostnames that use it get a new one with a new key at once',
          params: IdParams,
          querystring: WriteQuery,
          body: Revocation,
          response: { 202: Operation, default: Problem },
        },
      },
      async ({ actor, params, body, query }, reply) => {
        const operation = await versions.revoke(actor, params.id, body, query)
        return reply.code(202).header('location', `/api/v1/operations/${operation.id}`).send(operation)
      },
    )

    app.post(
      '/certificates/:id/rollback',
      {
        schema: {
          tags: ['certificates'],
          operationId: 'rollbackCertificate',
          summary: 'Serve an earlier version that is still good; done when answered',
          params: IdParams,
          querystring: WriteQuery,
          body: Rollback,
          response: { 202: Operation, default: Problem },
        },
      },
      async ({ actor, params, body, query }, reply) => {
        const operation = await versions.rollback(actor, params.id, body, query)
        return reply.code(202).header('location', `/api/v1/operations/${operation.id}`).send(operation)
      },
    )

    app.post(
      '/issuers/:id/rollover',
      {
        schema: {
          tags: ['issuers'],
          operationId: 'rollOverIssuer',
          summary: 'Change the key of the account at this CA',
          params: IdParams,
          querystring: WriteQuery,
          response: { 202: Operation, default: Problem },
        },
      },
      async ({ actor, params, query }, reply) => {
        const operation = await accounts.rollOver(actor, params.id, query)
        return reply.code(202).header('location', `/api/v1/operations/${operation.id}`).send(operation)
      },
    )

    app.post(
      '/issuers/:id/deactivate-account',
      {
        schema: {
          tags: ['issuers'],
          operationId: 'deactivateIssuerAccount',
          summary: 'End the account at this CA for ever and disable the issuer',
          params: IdParams,
          querystring: WriteQuery,
          response: { 202: Operation, default: Problem },
        },
      },
      async ({ actor, params, query }, reply) => {
        const operation = await accounts.deactivate(actor, params.id, query)
        return reply.code(202).header('location', `/api/v1/operations/${operation.id}`).send(operation)
      },
    )
  }
}
