/**
 * Why a connection was ended before it had a site. `handshake`: the TLS library or the client gave up; `full`: the
 * worker holds what it can.
 */
export const refusalReasons = [
  'unknownName',
  'noName',
  'noCertificate',
  'badHello',
  'clearText',
  'proxyHeader',
  'challenge',
  'limit',
  'full',
  'timeout',
  'handshake',
  'internal',
] as const

/** One of `refusalReasons`: a fixed set, so that counters stay few. */
export type RefusalReason = (typeof refusalReasons)[number]

/** Counts of refusals since the start. */
export type Refusals = {
  count(reason: RefusalReason): void
  readonly total: number
  readonly byReason: Readonly<Record<RefusalReason, number>>
}

/** Makes them, all zero. */
export function createRefusals(): Refusals {
  const byReason = Object.fromEntries(refusalReasons.map((reason) => [reason, 0])) as Record<RefusalReason, number>
  let total = 0
  return {
    count(reason) {
      byReason[reason] += 1
      total += 1
    },
    get total() {
      return total
    },
    get byReason() {
      return { ...byReason }
    },
  }
}
