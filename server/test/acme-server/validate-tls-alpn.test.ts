import 'reflect-metadata'
import { createHash } from 'node:crypto'
import { createServer } from 'node:tls'
import { Extension, SubjectAlternativeNameExtension, X509CertificateGenerator } from '@peculiar/x509'
import { crypto } from 'acme-client'
import { expect, test } from 'vitest'
import { generateKeyPem, importKeyPair } from '../../control/certificates/keys.ts'
import { createTestAuthority } from '../certificates.ts'
import { freePorts } from '../ports.ts'
import { opensslVerify } from './chains.ts'
import { finish, order, prove, registeredClient } from './rig.ts'
import { startAcmeServer } from './server.ts'

type AlpnAnswer = { protocols: string[]; pem: string; keyPem: string; serverName: string }

/** A TLS server that answers whatever it is told to, and keeps what was asked for. */
async function startAlpn(answer: Omit<AlpnAnswer, 'serverName'>) {
  const [port = 0] = await freePorts(1)
  const asked: string[] = []
  const server = createServer({
    cert: answer.pem,
    key: answer.keyPem,
    ALPNCallback: ({ servername, protocols }) => {
      asked.push(`${servername} ${protocols.join(',')}`)
      return answer.protocols.find((item) => protocols.includes(item))
    },
  })
  server.on('tlsClientError', () => undefined)
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
  return {
    port,
    asked,
    setContext: (pem: string, key: string) => server.setSecureContext({ cert: pem, key }),
    [Symbol.asyncDispose]: () => new Promise<void>((resolve) => server.close(() => resolve())),
  }
}

async function alpnCertificate(name: string, keyAuthorization: string): Promise<{ pem: string; keyPem: string }> {
  const authorization = { identifier: { type: 'dns', value: name } } as never
  const [key, pem] = await crypto.createAlpnCertificate(authorization, keyAuthorization, await generateKeyPem())
  return { pem: pem.toString(), keyPem: key.toString() }
}

test('tls-alpn-01: dialled by that protocol and name alone', async () => {
  await using alpn = await startAlpn({ protocols: ['acme-tls/1'], ...(await alpnCertificate('shop.test', 'not yet')) })
  await using ca = await startAcmeServer({ tlsPort: alpn.port })
  const client = await registeredClient(ca)
  const placed = await order(client, ['shop.test'])
  await prove(client, placed, 'tls-alpn-01', async (name, keyAuthorization) => {
    const { pem, keyPem } = await alpnCertificate(name, keyAuthorization)
    alpn.setContext(pem, keyPem)
  })
  const { pem } = await finish(client, placed, ['shop.test'])
  expect(alpn.asked).toEqual(['shop.test acme-tls/1'])
  expect(opensslVerify(pem, ca.rootPems[0])).toBe('OK')
})

test.each([
  ['another digest', 'unexpected acmeIdentifier digest', async () => alpnCertificate('shop.test', 'wrong')],
  ['another name', 'wrong subject alternative name', async (key: string) => alpnCertificate('other.test', key)],
  ['a certificate of a CA', 'not self-signed', async () => authorityCertificate()],
])('tls-alpn-01 with %s fails', async (_what, text, make) => {
  await using alpn = await startAlpn({ protocols: ['acme-tls/1'], ...(await alpnCertificate('shop.test', 'not yet')) })
  await using ca = await startAcmeServer({ tlsPort: alpn.port })
  const client = await registeredClient(ca)
  const placed = await order(client, ['shop.test'])
  const proving = prove(client, placed, 'tls-alpn-01', async (_name, keyAuthorization) => {
    const { pem, keyPem } = await make(keyAuthorization)
    alpn.setContext(pem, keyPem)
  })
  await expect(proving).rejects.toThrow(text)
})

async function authorityCertificate(): Promise<{ pem: string; keyPem: string }> {
  const { chainPem, privateKeyPem } = await (await createTestAuthority()).issue(['shop.test'])
  return { pem: chainPem, keyPem: privateKeyPem }
}

test('tls-alpn-01 with a server that speaks other protocols only fails', async () => {
  await using alpn = await startAlpn({ protocols: ['h2'], ...(await alpnCertificate('shop.test', 'x')) })
  await using ca = await startAcmeServer({ tlsPort: alpn.port })
  const client = await registeredClient(ca)
  await expect(prove(client, await order(client, ['shop.test']), 'tls-alpn-01', () => undefined)).rejects.toThrow(
    /alert|ALPN/,
  )
})

test('an address by tls-alpn-01: its reverse name is the SNI, the address the subject (RFC 8738 section 6)', async () => {
  await using alpn = await startAlpn({ protocols: ['acme-tls/1'], ...(await alpnCertificate('shop.test', 'not yet')) })
  await using ca = await startAcmeServer({ tlsPort: alpn.port })
  const client = await registeredClient(ca)
  const placed = await order(client, ['127.0.0.1'], { profile: 'shortlived' })
  await prove(client, placed, 'tls-alpn-01', async (_name, keyAuthorization) => {
    const { pem, keyPem } = await addressAlpnCertificate('127.0.0.1', keyAuthorization)
    alpn.setContext(pem, keyPem)
  })
  expect(alpn.asked).toEqual(['1.0.0.127.in-addr.arpa acme-tls/1'])
  expect((await finish(client, placed, ['127.0.0.1'])).pem).toContain('BEGIN CERTIFICATE')
})

/** By @peculiar/x509, since acme-client makes such certificates for names only. */
async function addressAlpnCertificate(
  value: string,
  keyAuthorization: string,
  isCritical = true,
): Promise<{ pem: string; keyPem: string }> {
  const keyPem = await generateKeyPem()
  const digest = createHash('sha256').update(keyAuthorization).digest()
  const certificate = await X509CertificateGenerator.createSelfSigned({
    name: 'CN=challenge',
    keys: await importKeyPair(keyPem),
    signingAlgorithm: { name: 'ECDSA', hash: 'SHA-256' },
    extensions: [
      new SubjectAlternativeNameExtension([{ type: 'ip', value }]),
      new Extension('1.3.6.1.5.5.7.1.31', isCritical, Buffer.concat([Buffer.of(4, 32), digest])),
    ],
  })
  return { pem: certificate.toString('pem'), keyPem }
}

test('an acmeIdentifier that is not critical does not count (RFC 8737 section 3)', async () => {
  await using alpn = await startAlpn({ protocols: ['acme-tls/1'], ...(await alpnCertificate('shop.test', 'not yet')) })
  await using ca = await startAcmeServer({ tlsPort: alpn.port })
  const client = await registeredClient(ca)
  const placed = await order(client, ['127.0.0.1'], { profile: 'shortlived' })
  const proving = prove(client, placed, 'tls-alpn-01', async (_name, keyAuthorization) => {
    const { pem, keyPem } = await addressAlpnCertificate('127.0.0.1', keyAuthorization, false)
    alpn.setContext(pem, keyPem)
  })
  await expect(proving).rejects.toThrow(/not critical/)
})
