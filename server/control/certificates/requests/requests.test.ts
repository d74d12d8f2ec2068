import 'reflect-metadata'
import { createHash, createPrivateKey, createPublicKey } from 'node:crypto'
import { Pkcs10CertificateRequest } from '@peculiar/x509'
import { expect, test } from 'vitest'
import { createOpenssl } from '../../../test/openssl.ts'
import { createUploadRig } from '../../../test/upload-rig.ts'
import { certificateKeyContext } from '../store.ts'
import { requestKeyContext } from './request-store.ts'
import { requestKeyTypes } from './schema.ts'

test.each(requestKeyTypes)(
  'a request with a key of %s is one that openssl verifies, and a CA’s answer is served with that key',
  async (keyType) => {
    await using rig = await createUploadRig()
    using openssl = createOpenssl()
    const { db, vault } = rig
    const hostnameId = await rig.addHostname('www.request.test')
    const member = rig.as('member')
    const subject = { organization: 'Exämple & Söhne, Inc.', country: 'DE' }
    const payload = { names: ['WWW.request.test', 'www.request.test.', '*.bücher.request.test'], keyType, subject }
    const created = await member.inject({ method: 'POST', url: '/certificate-requests', payload })
    expect(created.statusCode, created.body).toBe(201)
    const { id, csrPem, names } = created.json()
    expect(names).toEqual(['www.request.test', '*.xn--bcher-kva.request.test'])
    openssl.write('r.csr', csrPem)
    const text = openssl.run(['req', '-in', 'r.csr', '-verify', '-noout', '-text', '-nameopt', 'utf8']).toString()
    for (const part of ['O=Exämple & Söhne, Inc.', 'C=DE', 'CN=www.request.test', 'DNS:*.xn--bcher-kva.request.test'])
      expect(text).toContain(part)

    const row = await db.certificateRequest.findUniqueOrThrow({ where: { id } })
    const keyPem = vault.unseal(row.keySealed, requestKeyContext(id)).toString()
    for (const answer of [
      created.body,
      (await member.inject({ method: 'GET', url: `/certificate-requests/${id}` })).body,
    ])
      expect(answer).not.toMatch(/PRIVATE|[sS]ealed/)

    // The CA signs the key of the request; `make` takes the key, since openssl's ca writes its own request here.
    const root = openssl.make({ commonName: 'Bought CA', isCa: true })
    const accept = (certificatePem: string, query = '') =>
      member.inject({
        method: 'POST',
        url: `/certificate-requests/${id}/certificate${query}`,
        payload: { certificatePem },
      })
    const other = openssl.make({ commonName: 'x', names: ['www.request.test'], issuer: root })
    expect((await accept(other.certPem + root.certPem)).json().errors).toEqual([
      { field: 'privateKeyPem', detail: 'The private key is not the one of this certificate.' },
    ])
    const bought = openssl.make({ commonName: 'x', names: ['www.request.test'], issuer: root, keyPem })
    expect(spki(bought.keyPem)).toBe(spki(keyPem))
    expect((await accept(root.certPem + bought.certPem, '?dryRun=true')).statusCode).toBe(201)
    expect((await db.certificateRequest.findUniqueOrThrow({ where: { id } })).certificateId).toBeNull()
    const accepted = await accept(root.certPem + bought.certPem)
    expect(accepted.json()).toMatchObject({ source: 'uploaded', hostnames: [{ id: hostnameId }] })
    const certificateId = accepted.json().id
    const renewed = openssl.make({ commonName: 'x', names: ['www.request.test'], issuer: root, keyPem, toDay: 300 })
    expect((await accept(renewed.certPem + root.certPem)).json().id).toBe(certificateId)

    expect((await member.inject({ method: 'DELETE', url: `/certificate-requests/${id}` })).statusCode).toBe(204)
    expect(await db.certificateRequest.count()).toBe(0)
    const certificate = await db.certificate.findUniqueOrThrow({
      where: { id: certificateId },
      include: { activeVersion: true },
    })
    const { fingerprint = '', keySealed = new Uint8Array() } = certificate.activeVersion ?? {}
    expect(spki(vault.unseal(keySealed, certificateKeyContext(fingerprint)).toString())).toBe(spki(keyPem))
  },
)

test('names that cannot be served, subjects that cannot be encoded and barred keys are refused', async () => {
  await using rig = await createUploadRig()
  using openssl = createOpenssl()
  const { db, vault } = rig
  await rig.addHostname('www.request.test')
  const member = rig.as('member')
  const post = (payload: object) => member.inject({ method: 'POST', url: '/certificate-requests', payload })
  const good = { names: ['www.request.test'], keyType: 'ec-p256' }
  const named = await post({ ...good, names: ['a b', 'fine.request.test', '10.0.0.1'] })
  expect(named.json().errors.map(({ field }: { field: string }) => field)).toEqual(['names.0', 'names.2'])
  for (const more of [
    { names: [] },
    { names: Array.from({ length: 101 }, (_, index) => `n${index}.test`) },
    { keyType: 'rsa-1024' },
    { subject: { country: 'Germany' } },
    { subject: { organization: 'x'.repeat(65) } },
    { subject: { organization: 'a\u0000b' } },
  ])
    expect((await post({ ...good, ...more })).statusCode).toBe(400)
  expect(await db.certificateRequest.count()).toBe(0)

  const { id } = (await post(good)).json()
  const row = await db.certificateRequest.findUniqueOrThrow({ where: { id } })
  const keyPem = vault.unseal(row.keySealed, requestKeyContext(id)).toString()
  await db.barredKey.create({ data: { spkiFingerprint: spki(keyPem) } })
  const self = openssl.make({ commonName: 'x', names: ['www.request.test'], keyPem })
  const refused = await member.inject({
    method: 'POST',
    url: `/certificate-requests/${id}/certificate`,
    payload: { certificatePem: self.certPem },
  })
  expect(refused.json()).toMatchObject({
    status: 422,
    code: 'CERTIFICATE_INVALID',
    detail: expect.stringContaining('barred'),
  })
})

test('the key is a native one of the kind that was asked for, and the request says so', async () => {
  await using rig = await createUploadRig()
  for (const [keyType, algorithm] of [
    ['ec-p384', { name: 'ECDSA', namedCurve: 'P-384' }],
    ['rsa-2048', { name: 'RSASSA-PKCS1-v1_5' }],
  ] as const) {
    const answer = await rig
      .as('member')
      .inject({ method: 'POST', url: '/certificate-requests', payload: { names: ['a.request.test'], keyType } })
    const csr = new Pkcs10CertificateRequest(answer.json().csrPem)
    expect(await csr.verify()).toBe(true)
    expect(csr.publicKey.algorithm).toMatchObject(algorithm)
  }
})

function spki(keyPem: string): string {
  const der = createPublicKey(createPrivateKey(keyPem)).export({ type: 'spki', format: 'der' })
  return createHash('sha256').update(der).digest('hex')
}
