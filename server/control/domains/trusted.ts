import type { Tx } from '../db.ts'
import { AppError } from '../errors.ts'
import { recordEvent } from '../events/record.ts'
import { ensureDomain, findDomain, keepProof, lockRegistrable } from './domain-store.ts'
import {
  findHostnameByName,
  insertHostname,
  isProvenElsewhere,
  type NewHostname,
  setHostnameSite,
} from './hostname-store.ts'
import { registrableDomain } from './name-rules.ts'
import { type CertificateHooks, settleDomain } from './settle.ts'

/** The refusal of a name that another tenant has proven; it tells nothing about who. */
export function nameTaken(name: string): AppError {
  const detail = `"${name}" is proven by another tenant of this installation. If it is yours, ask your provider.`
  return new AppError('NAME_TAKEN', detail, { errors: [{ field: 'name', detail }] })
}

/** Keeps a hostname as proven by the platform's word. The caller holds `lockRegistrable` of its domain. */
export async function trustHostname(
  tx: Tx,
  hooks: CertificateHooks,
  hostname: Pick<NewHostname, 'domainId' | 'name'>,
): Promise<void> {
  const now = new Date()
  await keepProof(tx, hostname.domainId, hostname.name, 'trusted', now)
  const domain = await findDomain(tx, hostname.domainId)
  if (domain !== null) await settleDomain(tx, hooks, domain, now)
}

/**
 * Sees to it that a name of the installation itself (stored form, as the panel's) is a verified hostname
 * of that site; the rules for tenants' names do not apply. Idempotent. Throws NAME_TAKEN when
 * another tenant has proven it. Only the composition root calls this. Returns the hostname's id.
 */
export async function ensureTrustedHostname(
  tx: Tx,
  hooks: CertificateHooks,
  wanted: { readonly tenantId: string; readonly siteId: string; readonly name: string },
): Promise<string> {
  const { tenantId, siteId, name } = wanted
  const registrable = registrableDomain(name) ?? name
  await lockRegistrable(tx, registrable)
  const present = await findHostnameByName(tx, tenantId, name)
  if (present?.ownershipState === 'verified') {
    if (present.siteId !== siteId) await setHostnameSite(tx, present.id, siteId)
    return present.id
  }
  if (await isProvenElsewhere(tx, tenantId, name)) throw nameTaken(name)
  const { row: domain } = await ensureDomain(tx, tenantId, registrable)
  const hostname = { tenantId, domainId: domain.id, siteId, name }
  const id = present?.id ?? (await insertHostname(tx, hostname, new Date()))
  if (present === null)
    await recordEvent(tx, { actor: 'system', tenantId, action: 'hostname.created', subjectId: id, subjectName: name })
  else await setHostnameSite(tx, id, siteId)
  await trustHostname(tx, hooks, hostname)
  return id
}
