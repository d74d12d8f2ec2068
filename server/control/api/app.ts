import fastifyCookie from '@fastify/cookie'
import fastifyRateLimit from '@fastify/rate-limit'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import Fastify, { type FastifyBaseLogger, type FastifyInstance } from 'fastify'
import type { Logger } from '../../process/log.ts'
import type { Authenticate } from '../auth/credential.ts'
import type { Db } from '../db.ts'
import { AppError } from '../errors.ts'
import type { Vault } from '../vault.ts'
import { addAuthentication, registerTokens } from './authentication.ts'
import { type Health, healthRoutes } from './health.ts'
import { addIdempotency } from './idempotency.ts'
import { createForwardedGuard } from './listener-hop.ts'
import { addMethodTable } from './methods.ts'
import { addOpenApiRoute, registerOpenApi } from './openapi.ts'
import { sendProblem, toAppError } from './problem.ts'
import type { RequestMetrics } from './request-metrics.ts'
import { addSecurityHeaders } from './security-headers.ts'
import { closeSchemas, validatorCompiler } from './validation.ts'
import { isPagePath, PAGE_FILE, readPage, registerWebUi } from './web-ui.ts'

/** What the API is made of. */
export type ApiOptions = {
  readonly log: Logger
  readonly db: Db
  readonly vault: Vault
  readonly authenticate: Authenticate
  /** Routes of the domains, relative to `/api/v1`. */
  readonly routes: readonly FastifyPluginAsyncTypebox[]
  /** The built UI (`web/build`), or null for the API alone. */
  readonly webFolder: string | null
  readonly version: string
  /** The panel is a site of our own listener: forwarded addresses are trusted from an edge on loopback, one hop. */
  readonly isBehindListener: boolean
  readonly health: () => Promise<Health>
  /** Measures requests. */
  readonly requests?: Pick<RequestMetrics, 'watch'>
}

const BODY_LIMIT_BYTES = 1024 * 1024
const MAX_HEAD_BYTES = 16 * 1024
const HEAD_TIMEOUT_MS = 15_000
/** Longest time for one request to arrive; uploads over slow lines need it. Idle ones end earlier. */
const REQUEST_TIMEOUT_MS = 600_000
const IDLE_TIMEOUT_MS = 60_000
const KEEP_ALIVE_MS = 30_000
const MAX_CONNECTIONS = 4_000

/** Makes the API with its UI, ready to `listen` or `inject`. Plugins come in the order written. */
export async function buildApi(options: ApiOptions): Promise<FastifyInstance> {
  const app = createInstance(options)
  options.requests?.watch(app)
  const page = readPage(options.webFolder)
  addSecurityHeaders(app, page)
  addErrorHandling(app, page !== null)
  await app.register(fastifyCookie)
  await app.register(fastifyRateLimit, {
    global: false,
    errorResponseBuilder: (_request, { ttl }) =>
      new AppError('TOO_MANY_REQUESTS', 'There were too many tries from your address. Please wait.', {
        retryAfterSeconds: Math.max(1, Math.ceil(ttl / 1000)),
      }),
  })
  await registerTokens(app, options.vault)
  await registerOpenApi(app, options.version)
  await app.register(async (api) => addRoutes(api, options), { prefix: '/api/v1' })
  if (page !== null && options.webFolder !== null) await registerWebUi(app, options.webFolder)
  await app.ready()
  return app
}

async function addRoutes(api: FastifyInstance, options: ApiOptions): Promise<void> {
  addAuthentication(api, options.authenticate)
  addIdempotency(api, options.db, options.vault)
  addOpenApiRoute(api)
  await api.register(healthRoutes(options.version, options.health))
  for (const routes of options.routes) await api.register(routes)
}

function createInstance({ log, vault, isBehindListener }: ApiOptions): FastifyInstance {
  const guard = createForwardedGuard(vault)
  const app: FastifyInstance = Fastify({
    loggerInstance: log as FastifyBaseLogger,
    logController: new Fastify.LogController({ disableRequestLogging: true }),
    http: { maxHeaderSize: MAX_HEAD_BYTES, headersTimeout: HEAD_TIMEOUT_MS },
    bodyLimit: BODY_LIMIT_BYTES,
    requestTimeout: REQUEST_TIMEOUT_MS,
    connectionTimeout: IDLE_TIMEOUT_MS,
    keepAliveTimeout: KEEP_ALIVE_MS,
    exposeHeadRoutes: false,
    onProtoPoisoning: 'error',
    onConstructorPoisoning: 'error',
    rewriteUrl: (request) => {
      guard(request)
      return request.url ?? '/'
    },
    trustProxy: isBehindListener ? (address, hop) => hop === 0 && isLoopback(address) : false,
    frameworkErrors: (error, request, reply) => void sendProblem(reply as never, toAppError(error, request.id)),
  })
  app.server.maxConnections = MAX_CONNECTIONS
  app.setValidatorCompiler(validatorCompiler)
  app.addHook('onRoute', closeSchemas)
  app.removeContentTypeParser(['text/plain', 'application/json'])
  const parse = app.getDefaultJsonParser('error', 'error')
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (request, body, done) => {
    if (body === '') done(null, undefined)
    else parse(request, String(body), done)
  })
  return app
}

function isLoopback(address: string): boolean {
  return address === '::1' || /^(::ffff:)?127\./.test(address)
}

function addErrorHandling(app: FastifyInstance, hasPage: boolean): void {
  const allowedMethods = addMethodTable(app)
  app.setErrorHandler((thrown, request, reply) => {
    const error = toAppError(thrown, request.id)
    const fields = { err: error.cause ?? error, method: request.method, route: request.routeOptions.url }
    if (error.code === 'INTERNAL') request.log.error(fields, 'a request failed')
    else if (error.status >= 500) request.log.warn(fields, error.code)
    else request.log.debug({ ...fields, err: undefined, code: error.code }, error.detail)
    return sendProblem(reply, error)
  })
  app.setNotFoundHandler((request, reply) => {
    const path = request.url.split('?', 1)[0] ?? ''
    if (hasPage && isPagePath(request.method, path)) return reply.sendFile(PAGE_FILE)
    const allowed = allowedMethods(path)
    if (allowed.length === 0) return sendProblem(reply, new AppError('NOT_FOUND', 'There is no such path.'))
    reply.header('allow', allowed.join(', '))
    return sendProblem(reply, new AppError('METHOD_NOT_ALLOWED', `Only ${allowed.join(', ')} can be used here.`))
  })
}
