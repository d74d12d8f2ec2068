import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { type Static, Type } from 'typebox'

const Word = Type.Union([Type.Literal('ok'), Type.Literal('degraded'), Type.Literal('down')])

/** Whether the control plane works, part by part. Shown to everybody: no names, addresses or secrets in `detail`. */
const Health = Type.Object({
  status: Word,
  version: Type.String(),
  checks: Type.Record(Type.String(), Type.Object({ status: Word, detail: Type.Optional(Type.String()) })),
})

/** Whether the control plane works; `down` is answered with 503. */
export type Health = Static<typeof Health>

/** Longest wait for the checks; a probe must not hang on a database that does. */
const CHECK_TIMEOUT_MS = 5_000

/** `GET /health/live` and `GET /health`, without authentication. */
export function healthRoutes(version: string, health: () => Promise<Health>): FastifyPluginAsyncTypebox {
  return async (app) => {
    app.get(
      '/health/live',
      {
        config: { isPublic: true },
        schema: {
          tags: ['health'],
          summary: 'Whether the process works',
          operationId: 'getLiveness',
          response: { 200: Type.Object({ status: Type.Literal('ok') }) },
        },
      },
      async () => ({ status: 'ok' as const }),
    )
    app.get(
      '/health',
      {
        config: { isPublic: true },
        schema: {
          tags: ['health'],
          summary: 'Whether everything that this process needs works',
          operationId: 'getHealth',
          response: { 200: Health, 503: Health },
        },
      },
      async (_request, reply) => {
        const result = await withTimeout(health, version)
        return reply
          .code(result.status === 'down' ? 503 : 200)
          .header('cache-control', 'no-store')
          .send(result)
      },
    )
  }
}

async function withTimeout(health: () => Promise<Health>, version: string): Promise<Health> {
  const down = (detail: string): Health => ({ status: 'down', version, checks: { health: { status: 'down', detail } } })
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<Health>((resolve) => {
    timer = setTimeout(() => resolve(down('the checks did not end in time')), CHECK_TIMEOUT_MS)
  })
  try {
    return await Promise.race([health(), late])
  } catch {
    return down('the checks failed')
  } finally {
    clearTimeout(timer)
  }
}
