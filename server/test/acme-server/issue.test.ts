import { X509Certificate } from 'node:crypto'
import { expect, test } from 'vitest'
import { issueByHttp, registeredClient, startChallengeWeb } from './rig.ts'
import { startAcmeServer } from './server.ts'

test('a certificate is issued by http-01 with acme-client', async () => {
  await using web = await startChallengeWeb()
  await using ca = await startAcmeServer({ httpPort: web.port })
  const client = await registeredClient(ca)
  const names = ['www.shop.test', 'shop.test']
  const { pem } = await issueByHttp(client, web, names)
  const [leaf, intermediate] = pem.split(/(?=-----BEGIN)/).map((part) => new X509Certificate(part))
  expect(leaf?.subjectAltName).toBe('DNS:www.shop.test, DNS:shop.test')
  expect(leaf?.verify(intermediate?.publicKey as never)).toBe(true)
  expect(ca.log.of('issued')).toHaveLength(1)
})
