/** Below this path the listener answers http-01 challenges on every host (RFC 8555 section 8.3). */
export const httpChallengePath = '/.well-known/acme-challenge/'

/**
 * The header field by which the control plane knows that an answer to an unknown token comes from a listener,
 * whatever lies between. It names no product and no site, and proves nothing: anybody may send it.
 */
export const challengeMark = { field: 'acme-challenge', unknownToken: 'unknown-token' } as const
