import type { FastifyInstance, RouteOptions } from 'fastify'
import { expect, test } from 'vitest'
import { createApiRig } from '../../test/api.ts'
import { platformRoutes } from '../../test/platform-routes.ts'
import { createEventHistory } from '../activity/history.ts'
import { eventRoutes } from '../activity/routes.ts'
import { closeSchemas } from './validation.ts'

type Operation = {
  operationId: string
  tags: string[]
  summary: string
  security?: unknown[]
  parameters?: { name: string; in: string; schema: object }[]
  requestBody?: { content: Record<string, { schema: { additionalProperties?: unknown } }> }
  responses: Record<string, { description: string; content?: object }>
}
type Document = {
  openapi: string
  paths: Record<string, Record<string, Operation>>
  components: { schemas: Record<string, object> }
}

const noStreams = { open: () => Promise.reject(new Error('not here')), close: async () => undefined }

test('the document is OpenAPI 3.1, complete and consistent', async () => {
  const declared: string[] = []
  const note = async (app: FastifyInstance): Promise<void> => {
    app.addHook('onRoute', ({ method, url, schema }: RouteOptions) => {
      if (schema?.hide !== true) declared.push(`${String(method)} ${url.replace(/:(\w+)/g, '{$1}')}`)
    })
  }
  await using rig = await createApiRig({
    routes: (parts) => [
      async (app) => {
        await note(app)
        for (const routes of [...platformRoutes(parts), eventRoutes(createEventHistory(parts.db), noStreams)])
          await app.register(routes)
      },
    ],
  })
  const document: Document = (await rig.as('guest').inject({ url: '/openapi.json' })).json()
  expect(document.openapi).toMatch(/^3\.1\./)
  const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({
      name: `${method.toUpperCase()} ${path}`,
      path,
      operation,
    })),
  )
  const names = operations.map(({ name }) => name).filter((name) => !name.includes('/health'))
  expect(declared.length).toBeGreaterThan(30)
  expect(names.sort()).toEqual(declared.sort())
  const ids = operations.map(({ operation }) => operation.operationId)
  expect(new Set(ids).size).toBe(ids.length)
  for (const { name, path, operation } of operations) checkOperation(name, path, operation)
  checkReferences(document)
})

function checkOperation(name: string, path: string, operation: Operation): void {
  expect(operation, name).toMatchObject({ tags: [expect.any(String)], summary: expect.any(String) })
  const inPath = (operation.parameters ?? []).filter((parameter) => parameter.in === 'path').map(({ name }) => name)
  expect(inPath.sort(), name).toEqual([...path.matchAll(/\{(\w+)\}/g)].map(([, parameter]) => parameter).sort())
  expect(
    Object.keys(operation.responses).some((status) => /^2\d\d$/.test(status)),
    name,
  ).toBe(true)
  for (const response of Object.values(operation.responses))
    expect(response.description, name).toEqual(expect.any(String))
  const body = operation.requestBody?.content['application/json']?.schema
  if (body !== undefined) expect(body.additionalProperties, name).toBe(false)
}

/** Nothing of 3.0 (`nullable`), no reference that leads nowhere. */
function checkReferences(document: Document): void {
  JSON.stringify(document, (key, value: unknown) => {
    expect(key).not.toBe('nullable')
    if (key === '$ref') expect(Object.keys(document.components.schemas)).toContain(String(value).split('/').at(-1))
    return value
  })
}

test('closing a schema keeps open what is meant to be open', () => {
  const route = {
    url: '/api/v1/things',
    schema: { body: { type: 'object', properties: { free: { type: 'object', additionalProperties: true } } } },
  } as unknown as RouteOptions
  closeSchemas(route)
  expect(route.schema?.body).toEqual({
    type: 'object',
    properties: { free: { type: 'object', additionalProperties: true } },
    additionalProperties: false,
  })
})
