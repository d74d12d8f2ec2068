import { afterAll, beforeAll, expect, test } from 'vitest'
import type { CertificateDetailView, CertificateView, OperationView } from '../../control/certificates/schema.ts'
import { createTestAuthority } from '../certificates.ts'
import { eventually } from '../stack.ts'
import { visit } from '../visit.ts'
import { addHostname, makeSite, startWorld, untilLive, type World } from '../world.ts'

/** Own certificates through the whole product: what visitors see, not what rows say. */
let world: World
beforeAll(async () => {
  world = await startWorld()
})
afterAll(async () => {
  await world?.[Symbol.asyncDispose]()
})

test('an uploaded certificate is served, replaced, rolled back, revoked, and ACME takes over, all without a gap', async () => {
  const site = await makeSite(world.api, 'Own', { 'index.html': 'own' })
  const hostname = await addHostname(world, site, 'www.own.test')
  await untilLive(world.api, hostname.id)
  const ca = await createTestAuthority()
  const look = (trusted?: string) =>
    visit({
      port: world.stack.httpsPort,
      serverName: 'www.own.test',
      ...(trusted === undefined ? {} : { ca: trusted }),
    })
  const served = (fingerprint: string, what: string) =>
    eventually(async () => (await look()).fingerprint === fingerprint, what)
  const upload = (
    path: string,
    { chainPem, privateKeyPem }: { chainPem: string; privateKeyPem: string },
    tenantId?: string,
  ) =>
    world.api.post<CertificateDetailView>(path, {
      certificatePem: chainPem,
      privateKeyPem,
      ...(tenantId === undefined ? {} : { tenantId }),
    })

  const first = await ca.issue(['www.own.test'])
  const { id } = await upload('/certificates', first, site.tenantId)
  await served(first.fingerprint, 'the uploaded one is served')
  expect(await look(ca.caPem)).toMatchObject({ status: 200, body: 'own', names: 'DNS:www.own.test' })

  const second = await ca.issue(['www.own.test', '*.own.test'])
  await upload(`/certificates/${id}/versions`, second)
  await served(second.fingerprint, 'its successor is served')
  await world.api.post<OperationView>(`/certificates/${id}/rollback`, {})
  await served(first.fingerprint, 'it is rolled back')

  await world.api.post<OperationView>(`/certificates/${id}/revoke`, { reason: 'keyCompromise' })
  await eventually(async () => {
    const seen = await look()
    expect(seen).toMatchObject({ status: 200, body: 'own' })
    return seen.fingerprint !== first.fingerprint
  }, 'ACME has taken over')
  expect(await look(world.root)).toMatchObject({ status: 200 })
  await eventually(
    async () => (await world.api.get<CertificateView>(`/certificates/${id}`)).state === 'revoked',
    'revoked',
  )
})
