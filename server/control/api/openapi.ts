import fastifySwagger from '@fastify/swagger'
import type { FastifyInstance } from 'fastify'
import { Problem } from '../schema.ts'

/** Registers what collects the routes; must come before them. The document is OpenAPI 3.1. */
export async function registerOpenApi(app: FastifyInstance, version: string): Promise<void> {
  const { $id: _, ...problem } = Problem as unknown as Record<string, unknown>
  await app.register(fastifySwagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Nameplate',
        version,
        description:
          'Sites, names and certificates of a hosting platform. Errors are RFC 9457 problem documents; `code` is ' +
          'stable. Enumerations may grow. Writes take `Idempotency-Key` and, where noted, `?dryRun=true`.',
        license: { name: 'MIT' },
      },
      servers: [{ url: '/' }],
      security: [{ bearer: [] }],
      components: {
        securitySchemes: {
          bearer: {
            type: 'http',
            scheme: 'bearer',
            description: 'The access token of a session, or an API token that begins with `np_`.',
          },
        },
        schemas: { Problem: problem },
      },
    },
    transform: ({ schema, url, route }) => {
      const isPublic = route.config?.isPublic === true
      return { schema: isPublic ? { ...schema, security: [] } : schema, url }
    },
    transformObject: (document) => {
      if (!('openapiObject' in document)) throw new Error('the document is not OpenAPI')
      addProblems(document.openapiObject.paths ?? {})
      return document.openapiObject
    },
  })
}

const problemResponse = {
  description: 'What is wrong, and what to do',
  content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
}

/** Every operation may answer a problem. */
function addProblems(paths: object): void {
  for (const operations of Object.values(paths))
    for (const operation of Object.values(operations as Record<string, { responses?: Record<string, unknown> }>))
      if (operation.responses !== undefined) operation.responses['default'] ??= problemResponse
}

/** `GET /openapi.json`. */
export function addOpenApiRoute(app: FastifyInstance): void {
  let document: string | null = null
  app.get('/openapi.json', { config: { isPublic: true }, schema: { hide: true } }, async (_request, reply) => {
    document ??= JSON.stringify(app.swagger())
    return reply.type('application/json').send(document)
  })
}
