import type { Doctor } from '../domains/doctor/doctor.ts'
import type { DoctorIssuers } from './doctor-issuers.ts'
import type { Preflight } from './order-run.ts'

/** What asking the doctor before an order needs. */
export type PreflightDeps = {
  readonly doctor: Pick<Doctor, 'preflight'>
  readonly doctorIssuers: DoctorIssuers
  /** Whether a hostname can be proven in DNS here: a provider is set, or a lasting record stands. */
  readonly provesByDns: (hostnameId: string) => Promise<boolean>
}

/**
 * The manager's look before a first order: what the doctor finds for this one issuer. Another issuer may do what
 * this one must not only where CAA is what forbids it. An issuer that is gone or not judged (the local CA) has nothing
 * against it.
 */
export function createPreflight({ doctor, doctorIssuers, provesByDns }: PreflightDeps): Preflight {
  return async (hostnameId, issuerId, signal) => {
    const byDns = (await provesByDns(hostnameId)) ? (['dns-01', 'dns-persist-01'] as const) : []
    const issuers = (await doctorIssuers(['http-01', 'tls-alpn-01', ...byDns])).filter(({ id }) => id === issuerId)
    if (issuers.length === 0) return null
    const { blocking } = await doctor.preflight({ hostnameId }, { issuers, signal })
    if (blocking === null) return null
    const { code, detail, fix } = blocking
    return {
      code,
      detail: fix === undefined ? detail : `${detail} ${fix}`,
      isIssuersRefusal: code === 'CAA_FORBIDS',
    }
  }
}
