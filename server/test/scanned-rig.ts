import type { Runtime } from '../listener/worker-command.ts'
import { createTestAuthority } from './certificates.ts'
import { addressRecord, type ListenerRig, nameRecord, siteRecord, startListenerRig } from './listener-rig.ts'

/** What a scan is pointed at. */
export const scannedAddresses = { name: 'a.example.com', shared: '127.0.0.1', legacy: '127.0.0.2' } as const

/** A listener to be scanned: one site by name on a shared address, one on an address that is open to TLS 1.0. */
export async function startScannedRig(runtime: Runtime): Promise<{ rig: ListenerRig; caPem: string }> {
  const authority = await createTestAuthority()
  const { name, shared, legacy } = scannedAddresses
  const ecdsa = await authority.issue([name])
  const rsa = await authority.issue([name], { rsa: true })
  const old = await authority.issue(['old.example.com'], { rsa: true })
  const address = addressRecord(legacy, 'old', old)
  const rig = await startListenerRig({
    runtime,
    records: (parts) => [
      ...[ecdsa, rsa, old].map((certificate) => parts.certificate(certificate)),
      nameRecord(name, 'a', ecdsa, rsa),
      nameRecord('old.example.com', 'old', old),
      addressRecord(shared, null),
      { ...address, payload: { siteId: 'old', certificates: [old.fingerprint], legacyTls: 'tls1.0' } },
      siteRecord('a', { manifest: parts.release({ 'index.html': 'page '.repeat(500) }) }),
      siteRecord('old', { manifest: parts.release({ 'index.html': 'old' }) }),
    ],
  })
  return { rig, caPem: authority.caPem }
}
