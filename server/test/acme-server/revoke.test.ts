import { X509Certificate } from 'node:crypto'
import { crypto } from 'acme-client'
import { expect, test } from 'vitest'
import { generateKeyPem } from '../../control/certificates/keys.ts'
import { issueByHttp, order, problemType, proveByHttp, registeredClient, send, startChallengeWeb } from './rig.ts'
import { startAcmeServer } from './server.ts'

test('by the account: once, with a reason that there is, and not by another account', async () => {
  await using web = await startChallengeWeb()
  await using ca = await startAcmeServer({ httpPort: web.port })
  const client = await registeredClient(ca)
  const other = await registeredClient(ca)
  const { pem } = await issueByHttp(client, web, ['shop.test'])
  await expect(other.revokeCertificate(pem)).rejects.toThrow(/neither requested this certificate/)
  await expect(client.revokeCertificate(pem, { reason: 7 as 4 })).rejects.toThrow(/unsupported revocation reason/)
  await client.revokeCertificate(pem, { reason: 4 })
  await expect(client.revokeCertificate(pem, { reason: 4 })).rejects.toThrow(/already revoked/)
  const serial = new X509Certificate(pem).serialNumber
  expect(ca.revokedSerials().map((text) => BigInt(`0x${text}`))).toEqual([BigInt(`0x${serial}`)])
  expect(ca.log.of('revoked')).toMatchObject([{ reason: 4, by: 'account' }])
})

test("by the certificate's key; that key gets no further certificate when it is compromised", async () => {
  await using web = await startChallengeWeb()
  await using ca = await startAcmeServer({ httpPort: web.port })
  const client = await registeredClient(ca)
  const { pem, keyPem } = await issueByHttp(client, web, ['shop.test'])
  const url = `${ca.directoryUrl.replace('/directory', '')}/acme/revoke-cert`
  const payload = { certificate: new X509Certificate(pem).raw.toString('base64url'), reason: 1 }
  expect(problemType(await send(ca, { url, payload, keyPem: await generateKeyPem() }))).toBe('unauthorized')
  expect((await send(ca, { url, payload, keyPem })).status).toBe(200)
  expect(problemType(await send(ca, { url, payload, keyPem }))).toBe('alreadyRevoked')
  expect(ca.log.of('revoked')).toMatchObject([{ reason: 1, by: 'certificate-key' }])

  const placed = await order(client, ['shop.test'])
  await proveByHttp(client, web, placed)
  const [, csr] = await crypto.createCsr({ altNames: ['shop.test'] }, keyPem)
  await expect(client.finalizeOrder(placed, csr)).rejects.toThrow(/compromised/)
})

test('by another account that has proven all of its names', async () => {
  await using web = await startChallengeWeb()
  await using ca = await startAcmeServer({ httpPort: web.port })
  const client = await registeredClient(ca)
  const other = await registeredClient(ca)
  const { pem } = await issueByHttp(client, web, ['a.shop.test', 'b.shop.test'])
  await proveByHttp(other, web, await order(other, ['a.shop.test']))
  await expect(other.revokeCertificate(pem)).rejects.toThrow(/nor is authorized/)
  await proveByHttp(other, web, await order(other, ['b.shop.test']))
  await other.revokeCertificate(pem)
  expect(ca.log.of('revoked')).toHaveLength(1)
})

test("another CA's certificate is not known", async () => {
  await using web = await startChallengeWeb()
  await using ca = await startAcmeServer({ httpPort: web.port })
  const client = await registeredClient(ca)
  await expect(client.revokeCertificate(ca.rootPems[0])).rejects.toThrow(/unrecognized issuer/)
})
