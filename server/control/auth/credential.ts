import type { Actor } from './access.ts'

/** How a call says who makes it: claims of a verified access token, or an API token as it was sent. */
export type Credential =
  | { readonly kind: 'session'; readonly userId: string; readonly sessionId: string }
  | { readonly kind: 'token'; readonly token: string }

/**
 * Reads from the database who a credential stands for and what that person may do at this moment.
 * `ip` is where the call comes from. Throws SESSION_ENDED or UNAUTHENTICATED.
 */
export type Authenticate = (credential: Credential, ip: string) => Promise<Actor>

/** Claims of an access token. */
export type AccessClaims = { readonly sub: string; readonly sid: string }

/** Makes and reads access tokens, under keys that may change meanwhile. */
export type AccessTokens = {
  sign(claims: AccessClaims): string
  /** Throws for a token that is no such or has expired. */
  verify(token: string): AccessClaims
}

/** What every API token begins with. */
export const TOKEN_PREFIX = 'np_'

/** Life of an access token: short, since a stolen one is only stopped by the end of its session. */
export const ACCESS_TOKEN_SECONDS = 600

declare module 'fastify' {
  interface FastifyInstance {
    accessTokens: AccessTokens
  }
  interface FastifyRequest {
    /** Who calls; `guest` on public routes and without an Authorization header. */
    actor: Actor
    /** Reads again who calls, for answers that stay open. Throws when the session or token has ended. */
    checkActor: () => Promise<Actor>
  }
  interface FastifyContextConfig {
    /** The route is answered alike for everybody: an Authorization header is not looked at. */
    isPublic?: boolean
    /** False: the route takes no Idempotency-Key (log-in, uploads, actions on sessions). */
    takesIdempotencyKey?: boolean
  }
}

declare module '@fastify/jwt' {
  interface FastifyJWT {
    payload: AccessClaims
    user: AccessClaims
  }
}
