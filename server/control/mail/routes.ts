import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { MailTest, MailTestResult } from './schema.ts'
import type { MailService } from './service.ts'

/** `/settings/mail/test`. */
export function mailRoutes(service: MailService): FastifyPluginAsyncTypebox {
  return async (app) => {
    app.post(
      '/settings/mail/test',
      {
        schema: {
          tags: ['settings'],
          operationId: 'testMail',
          summary: 'Send a mail now, to see whether the mail server is set right (admin)',
          body: MailTest,
          response: { 200: MailTestResult },
        },
      },
      (request) => service.test(request.actor, request.body),
    )
  }
}
