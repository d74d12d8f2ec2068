import fastifyJwt from '@fastify/jwt'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { guest } from '../auth/access.ts'
import {
  ACCESS_TOKEN_SECONDS,
  type AccessClaims,
  type AccessTokens,
  type Authenticate,
  type Credential,
  TOKEN_PREFIX,
} from '../auth/credential.ts'
import { AppError } from '../errors.ts'
import type { Vault } from '../vault.ts'

const ISSUER = 'nameplate'
const LABEL = 'jwt'
const MAX_HEADER_CHARACTERS = 4_096

/**
 * Registers the signing of access tokens: HS256 under a key that all replicas derive alike (RFC 7519, RFC 8725).
 * While the vault's keys change, those of the key before are verified too.
 */
export async function registerTokens(app: FastifyInstance, vault: Pick<Vault, 'derive' | 'deriveAll'>): Promise<void> {
  const sign = { algorithm: 'HS256', expiresIn: ACCESS_TOKEN_SECONDS, iss: ISSUER } as const
  const verify = { algorithms: ['HS256' as const], allowedIss: ISSUER }
  await app.register(fastifyJwt, { secret: vault.derive(LABEL), sign, verify })
  const accessTokens: AccessTokens = {
    sign: (claims) => app.jwt.sign(claims, { ...sign, key: vault.derive(LABEL) }),
    verify(token) {
      let failure: unknown
      for (const key of vault.deriveAll(LABEL)) {
        try {
          return app.jwt.verify<AccessClaims>(token, { ...verify, key })
        } catch (error) {
          failure ??= error
        }
      }
      throw failure
    },
  }
  app.decorate('accessTokens', accessTokens)
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
    const { sub, sid } = app.accessTokens.verify(token)
    return { kind: 'session', userId: sub, sessionId: sid }
  } catch (cause) {
    throw new AppError('SESSION_ENDED', 'Get a new access token with POST /auth/refresh, or sign in.', { cause })
  }
}
