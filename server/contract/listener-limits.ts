/** How many connections a worker holds, and for whom. All counts are of one worker. */
export type ListenerLimits = {
  /** Open connections of one client address (IPv6: of its /64). */
  readonly addressConnections: number
  /** New handshakes of one client address in a second, in the long run. */
  readonly addressHandshakesPerSecond: number
  /** New handshakes that one client address may make at once after a rest. */
  readonly addressHandshakesBurst: number
  /** Open connections of one site; a site may have a lower limit of its own. */
  readonly siteConnections: number
  /** Handshakes of one site that have begun and are not done; of the second half an address has only a share. */
  readonly siteHandshakes: number
  /** The same for all sites of a tenant together. */
  readonly tenantConnections: number
  readonly tenantHandshakes: number
  /** CIDRs of clients to whom the limits by address do not apply. */
  readonly exempt: readonly string[]
}

/** What holds where the setting `listenerLimits` says nothing. A carrier's NAT stays far below the limits by address. */
export const defaultListenerLimits: ListenerLimits = {
  addressConnections: 1_000,
  addressHandshakesPerSecond: 100,
  addressHandshakesBurst: 500,
  siteConnections: 8_000,
  siteHandshakes: 1_000,
  tenantConnections: 12_000,
  tenantHandshakes: 2_000,
  exempt: ['127.0.0.0/8', '::1/128'],
}

/** Largest value of a limit that is a number; the smallest is 1. */
export const MAX_LISTENER_LIMIT = 1_000_000

/** The limits of a setting's value; what is missing in it, or no limit, has its default. */
export function listenerLimits(value: unknown): ListenerLimits {
  const given = (typeof value === 'object' && value !== null ? value : {}) as Readonly<Record<string, unknown>>
  const limits = Object.entries(defaultListenerLimits).map(([name, standard]) => {
    const own = given[name]
    const isLimit = Array.isArray(standard) ? isTexts(own) : isCount(own)
    return [name, isLimit ? own : standard]
  })
  return Object.fromEntries(limits) as ListenerLimits
}

function isCount(value: unknown): boolean {
  return Number.isInteger(value) && Number(value) >= 1 && Number(value) <= MAX_LISTENER_LIMIT
}

function isTexts(value: unknown): boolean {
  return Array.isArray(value) && value.every((item) => typeof item === 'string')
}
