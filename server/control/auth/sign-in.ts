import type { FastifyReply, FastifyRequest } from 'fastify'
import { AppError } from '../errors.ts'
import { ACCESS_TOKEN_SECONDS } from './credential.ts'
import { type OpenSession, signedInUser } from './sessions.ts'

const PATH = '/api/v1/auth'
const COOKIE_SECONDS = 14 * 86_400

/** Names of the refresh cookie. The prefix binds it to the host over TLS (RFC 6265bis section 4.1.3.2) and needs Path=/. */
const SECURE_NAME = '__Host-nameplate_refresh'
const PLAIN_NAME = 'nameplate_refresh'

/** Answers with an access token, and sets the refresh cookie when there is a new secret. */
export async function answerSignedIn(request: FastifyRequest, reply: FastifyReply, session: OpenSession) {
  if (session.refreshSecret !== null)
    reply.setCookie(cookieName(request), session.refreshSecret, { ...cookieOptions(request), maxAge: COOKIE_SECONDS })
  const accessToken = request.server.accessTokens.sign({ sub: session.user.id, sid: session.sessionId })
  reply.header('cache-control', 'no-store')
  return { accessToken, expiresInSeconds: ACCESS_TOKEN_SECONDS, user: signedInUser(session) }
}

/** The refresh secret that came as a cookie, or null. Refuses calls that another site made the browser send: FORBIDDEN. */
export function refreshSecretOf(request: FastifyRequest): string | null {
  requireSameOrigin(request)
  return request.cookies[cookieName(request)] ?? null
}

/** Takes the cookie away. */
export function clearRefreshCookie(request: FastifyRequest, reply: FastifyReply): void {
  reply.clearCookie(cookieName(request), cookieOptions(request))
}

function isSecure(request: FastifyRequest): boolean {
  return request.protocol === 'https'
}

function cookieName(request: FastifyRequest): string {
  return isSecure(request) ? SECURE_NAME : PLAIN_NAME
}

function cookieOptions(request: FastifyRequest) {
  const secure = isSecure(request)
  return { httpOnly: true, sameSite: 'strict', secure, path: secure ? '/' : PATH } as const
}

/** Browsers say where a call comes from; others do not send cookies unasked. SameSite=Strict is the first wall. */
function requireSameOrigin(request: FastifyRequest): void {
  const { origin } = request.headers
  const site = request.headers['sec-fetch-site']
  const isOwnSite = site === undefined || site === 'same-origin' || site === 'none'
  const isOwnOrigin = origin === undefined || (URL.canParse(origin) && new URL(origin).host === request.host)
  if (!isOwnSite || !isOwnOrigin) throw new AppError('FORBIDDEN', 'This call must come from the panel itself.')
}
