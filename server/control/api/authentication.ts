import fastifyJwt from '@fastify/jwt'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { guest } from '../auth/access.ts'
import {
  ACCESS_TOKEN_SECONDS,
  type AccessClaims,
  type Authenticate,
  type Credential,
  TOKEN_PREFIX,
} from '../auth/credential.ts'
import { AppError } from '../errors.ts'

const ISSUER = 'nameplate'
const MAX_HEADER_CHARACTERS = 4_096

/** Registers the signing of access tokens: HS256 under a key that all replicas derive alike (RFC 7519, RFC 8725). */
export async function registerTokens(app: FastifyInstance, key: Buffer): Promise<void> {
  await app.register(fastifyJwt, {
    secret: key,
    sign: { algorithm: 'HS256', expiresIn: ACCESS_TOKEN_SECONDS, iss: ISSUER },
    verify: { algorithms: ['HS256'], allowedIss: ISSUER },
  })
}

/** Says for each request of the scope who makes it, before its body is read. */
export function addAuthentication(app: FastifyInstance, authenticate: Authenticate): void {
  app.decorateRequest('actor', null as never)
  app.decorateRequest('checkActor', null as never)
  app.addHook('onRequest', async (request) => {
    request.actor = guest
    request.checkActor = async () => guest
    if (request.routeOptions.config.isPublic === true) return
    const credential = credentialOf(app, request)
    if (credential === null) return
    const { ip } = request
    request.checkActor = () => authenticate(credential, ip)
    request.actor = await request.checkActor()
  })
}

function credentialOf(app: FastifyInstance, request: FastifyRequest): Credential | null {
  const header = request.headers.authorization
  if (header === undefined) return null
  const [, token] = /^Bearer +(\S+)$/i.exec(header) ?? []
  if (token === undefined || header.length > MAX_HEADER_CHARACTERS)
    throw new AppError('UNAUTHENTICATED', 'Send the token as Authorization: Bearer <token>.')
  if (token.startsWith(TOKEN_PREFIX)) return { kind: 'token', token }
  try {
    const { sub, sid } = app.jwt.verify<AccessClaims>(token)
    return { kind: 'session', userId: sub, sessionId: sid }
  } catch (cause) {
    throw new AppError('SESSION_ENDED', 'Get a new access token with POST /auth/refresh, or sign in.', { cause })
  }
}
