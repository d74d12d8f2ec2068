import { call, type Filter } from '#lib/api/client.ts'
import type { ListPage } from '#lib/api/listing.svelte.ts'
import type {
  CertificateDetailView,
  CertificateQueryInput,
  CertificateView,
  OperationView,
} from '#server/control/certificates/schema.ts'

export type { CertificateDetailView, CertificateView } from '#server/control/certificates/schema.ts'

/** A page of certificates. */
export function listCertificates(
  query: Filter<CertificateQueryInput>,
  signal?: AbortSignal,
): Promise<ListPage<CertificateView>> {
  return call('GET', '/certificates', { query, signal })
}

/** One certificate with its history. */
export function getCertificate(id: string, signal?: AbortSignal): Promise<CertificateDetailView> {
  return call('GET', `/certificates/${id}`, { signal })
}

/** Orders anew, although it is not due. */
export function renewCertificate(id: string): Promise<OperationView> {
  return call('POST', `/certificates/${id}/renew`)
}
