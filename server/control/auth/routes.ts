import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import type { Db } from '../db.ts'
import { AppError } from '../errors.ts'
import { requireUser } from './access.ts'
import type { AccessClaims } from './credential.ts'
import { LoginBody, Me, SignedIn } from './schema.ts'
import type { SessionService } from './sessions.ts'
import { answerSignedIn, clearRefreshCookie, refreshSecretOf } from './sign-in.ts'
import { findUser } from './store.ts'
import { userView } from './user-view.ts'

const tags = ['auth']
/** Per address and minute: many people of one office sign in, no list of passwords is tried through. */
const LOGIN_RATE = { max: 30, timeWindow: 60_000 }
/** Per account, whatever the addresses. */
const ACCOUNT_RATE = { max: 20, timeWindow: 300_000 }
const REFRESH_RATE = { max: 300, timeWindow: 60_000 }

/** `/auth`. */
export function authRoutes(db: Db, sessions: SessionService): FastifyPluginAsyncTypebox {
  return async (app) => {
    const checkAccountRate = app.createRateLimit({
      ...ACCOUNT_RATE,
      keyGenerator: (request) => `account:${(request.body as { email: string }).email.trim().toLowerCase()}`,
    })
    app.post(
      '/auth/login',
      {
        config: { isPublic: true, rateLimit: LOGIN_RATE },
        schema: {
          tags,
          summary: 'Sign in with e-mail and password',
          operationId: 'login',
          body: LoginBody,
          response: { 200: SignedIn },
        },
      },
      async (request, reply) => {
        const rate = await checkAccountRate(request)
        if (!rate.isAllowed && rate.isExceeded)
          throw new AppError('TOO_MANY_REQUESTS', 'There were too many tries for this account.', {
            retryAfterSeconds: rate.ttlInSeconds,
          })
        const session = await sessions.login(request.body, request.headers['user-agent'] ?? null)
        return answerSignedIn(request, reply, session)
      },
    )
    app.post(
      '/auth/refresh',
      {
        config: { isPublic: true, rateLimit: REFRESH_RATE },
        schema: {
          tags,
          summary: 'Get a new access token for the refresh cookie',
          operationId: 'refreshSession',
          response: { 200: SignedIn },
        },
      },
      async (request, reply) => {
        const secret = refreshSecretOf(request)
        if (secret === null) throw new AppError('UNAUTHENTICATED', 'There is no sign-in to continue.')
        try {
          return await answerSignedIn(request, reply, await sessions.refresh(secret))
        } catch (error) {
          if (error instanceof AppError && error.code === 'SESSION_ENDED') clearRefreshCookie(request, reply)
          throw error
        }
      },
    )
    app.post(
      '/auth/logout',
      {
        config: { isPublic: true },
        schema: {
          tags,
          summary: 'End the session of the refresh cookie, or of the access token',
          operationId: 'logout',
          response: { 204: Type.Null() },
        },
      },
      async (request, reply) => {
        const secret = refreshSecretOf(request)
        if (secret !== null) await sessions.logout({ secret })
        const claims = request.headers.authorization === undefined ? null : await claimsOf(request)
        if (claims !== null) await sessions.logout({ sessionId: claims.sid })
        clearRefreshCookie(request, reply)
        return reply.code(204).send(null)
      },
    )
    app.get(
      '/auth/me',
      { schema: { tags, summary: 'Who you are', operationId: 'getMe', response: { 200: Me } } },
      async (request) => {
        const { userId, token } = requireUser(request.actor)
        const user = await findUser(db, userId)
        if (user === null) throw new AppError('SESSION_ENDED', 'Sign in again to go on.')
        return { user: userView(user), token: token === null ? null : { ...token, scopes: [...token.scopes] } }
      },
    )
  }
}

/** Claims of the access token, or null for a token that is no such or has expired. */
function claimsOf(request: FastifyRequest): AccessClaims | null {
  const [, token = ''] = /^Bearer +(\S+)$/i.exec(request.headers.authorization ?? '') ?? []
  try {
    return request.server.accessTokens.verify(token)
  } catch {
    return null
  }
}
