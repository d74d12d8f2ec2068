import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { SignedIn } from '../auth/schema.ts'
import { answerSignedIn } from '../auth/sign-in.ts'
import { SetupBody, SetupState } from './schema.ts'
import type { SetupService } from './service.ts'

const tags = ['setup']
const SETUP_RATE = { max: 20, timeWindow: 60_000 }

/** `/setup`: the first admin, by the one-time link. */
export function setupRoutes(service: SetupService): FastifyPluginAsyncTypebox {
  return async (app) => {
    app.get(
      '/setup',
      {
        config: { isPublic: true },
        schema: {
          tags,
          summary: 'Whether the first administrator is still to be made',
          operationId: 'getSetup',
          response: { 200: SetupState },
        },
      },
      async () => ({ isOpen: await service.isOpen() }),
    )
    app.post(
      '/setup',
      {
        config: { isPublic: true, rateLimit: SETUP_RATE },
        schema: {
          tags,
          summary: 'Make the first administrator with the one-time link, and sign in',
          operationId: 'completeSetup',
          body: SetupBody,
          response: { 201: SignedIn },
        },
      },
      async (request, reply) => {
        const session = await service.complete(request.body, request.headers['user-agent'] ?? null)
        return reply.code(201).send(await answerSignedIn(request, reply, session))
      },
    )
  }
}
