import { createLimits, type RateLimits } from '../../server/test/acme-server/limits.ts'
import { createLog } from '../../server/test/acme-server/log.ts'

const HOUR_MS = 3_600_000

/** From when to when (ms of virtual time) the CA answers nothing. */
export type Outage = { readonly from: number; readonly until: number }

/** A CA in virtual time: its limits are counted by the ACME server of the tests, not by our ledger. */
export type VirtualCa = {
  readonly isDown: (now: number) => boolean
  /** Why an order is refused, or null; counts it otherwise. */
  order(name: string, isReplacement: boolean): string | null
  validated(name: string, isGood: boolean): void
  issued(name: string, isReplacement: boolean): void
  /** The window for a certificate (ms), as Let's Encrypt suggests it: early in the last third. */
  window(number: number, notBefore: number, notAfter: number, now: number): { start: number; end: number }
  /** How often a limit would have been exceeded. */
  readonly exceeded: () => number
}

/** Makes the CA. Certificates of `revoked` numbers are to be replaced from `revocationAt` on. */
export function createVirtualCa(options: {
  readonly clock: () => number
  readonly outages: readonly Outage[]
  readonly revocationAt: number
  readonly isRevoked: (number: number, notBefore: number) => boolean
}): VirtualCa {
  const log = createLog(options.clock)
  const limits: RateLimits = createLimits({ mode: 'enforced' }, options.clock, log)
  return {
    isDown: (now) => options.outages.some(({ from, until }) => now >= from && now < until),
    order(name, isReplacement) {
      try {
        limits.checkNewOrder({ accountId: 'account', names: [name], isReplacement })
        return null
      } catch (error) {
        return (error as Error).message
      }
    },
    validated(name, isGood) {
      if (isGood) limits.noteSuccess('account', name)
      else limits.spendFailure('account', name)
    },
    issued: (name, isReplacement) => limits.spendCertificate([name], isReplacement),
    window(number, notBefore, notAfter, now) {
      if (now >= options.revocationAt && options.isRevoked(number, notBefore))
        return { start: options.revocationAt - HOUR_MS, end: options.revocationAt }
      const lifetime = notAfter - notBefore
      return { start: notBefore + (lifetime * 2) / 3, end: notBefore + (lifetime * 5) / 6 }
    },
    exceeded: () => log.of('limit').length,
  }
}
