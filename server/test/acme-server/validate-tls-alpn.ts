import { createHash, X509Certificate } from 'node:crypto'
import { connect } from 'node:tls'
import { objectIdText, readChildren, readElement } from './der.ts'
import { extensionIds } from './hierarchy.ts'
import type { Identifier } from './identifier.ts'
import { addressText, reverseName } from './identifiers.ts'
import { AcmeProblem } from './problem.ts'
import type { NameResolver } from './resolve.ts'
import type { Settings } from './settings.ts'

/** id-pe-acmeIdentifier (RFC 8737 section 6.1). */
const ACME_IDENTIFIER = '1.3.6.1.5.5.7.1.31'
const PROTOCOL = 'acme-tls/1'

type TlsAlpnChallenge = {
  readonly identifier: Identifier
  readonly keyAuthorization: string
  readonly visit: (target: string) => void
}

/**
 * RFC 8737 section 3: dials with that ALPN protocol alone and the name (of an address: its reverse name, RFC 8738
 * section 6) as SNI, and checks the certificate. Throws `connection`, `tls`, `dns` or `unauthorized`.
 */
export async function validateTlsAlpn(
  { identifier, keyAuthorization, visit }: TlsAlpnChallenge,
  resolver: NameResolver,
  settings: Pick<Settings, 'tlsPort' | 'validationTimeoutMs'>,
): Promise<void> {
  const [address = ''] = await resolver.addresses(identifier.value)
  visit(`${address}:${settings.tlsPort}`)
  const serverName = identifier.type === 'ip' ? reverseName(identifier.value) : identifier.value
  const der = await dial(address, serverName, settings)
  const fault = faultOf(der, identifier, createHash('sha256').update(keyAuthorization).digest())
  if (fault !== null)
    throw new AcmeProblem(
      'unauthorized',
      `${address}: Incorrect validation certificate for tls-alpn-01 challenge. ${fault}`,
    )
}

function dial(
  address: string,
  servername: string,
  settings: Pick<Settings, 'tlsPort' | 'validationTimeoutMs'>,
): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const socket = connect({
      host: address,
      port: settings.tlsPort,
      servername,
      ALPNProtocols: [PROTOCOL],
      minVersion: 'TLSv1.2',
      rejectUnauthorized: false,
    })
    const timer = setTimeout(() => socket.destroy(new Error('Timeout during connect')), settings.validationTimeoutMs)
    socket.on('secureConnect', () => {
      const certificate = socket.getPeerX509Certificate()
      if (socket.alpnProtocol !== PROTOCOL) {
        reject(
          new AcmeProblem(
            'unauthorized',
            `${address}: Cannot negotiate ALPN protocol "${PROTOCOL}" for tls-alpn-01 challenge`,
          ),
        )
      } else if (certificate === undefined)
        reject(new AcmeProblem('unauthorized', `${address}: No certs presented for tls-alpn-01 challenge`))
      else resolve(certificate.raw)
      socket.end()
    })
    socket.on('error', (error: NodeJS.ErrnoException) => {
      const type = error.code?.startsWith('ERR_SSL') ? 'tls' : 'connection'
      reject(
        new AcmeProblem(type, `${address}: ${error.code === 'ECONNREFUSED' ? 'Connection refused' : error.message}`),
      )
    })
    socket.on('close', () => {
      clearTimeout(timer)
      reject(new AcmeProblem('connection', `${address}: Connection reset by peer`))
    })
  })
}

/** Null, or what is wrong: self-signed, the one name, and the critical acmeIdentifier with the digest. */
function faultOf(der: Buffer, identifier: Identifier, digest: Buffer): string | null {
  try {
    const certificate = new X509Certificate(der)
    if (certificate.issuer !== certificate.subject || !certificate.verify(certificate.publicKey))
      return 'Received certificate which is not self-signed'
    const extensions = extensionsOf(der)
    const names = extensions.get(extensionIds.subjectAltName)
    if (names === undefined || !isTheName(names.value, identifier))
      return `Received certificate with a wrong subject alternative name: ${certificate.subjectAltName}`
    const found = extensions.get(ACME_IDENTIFIER)
    if (found === undefined) return 'Missing acmeIdentifier extension'
    if (!found.isCritical) return 'The acmeIdentifier extension is not critical'
    const { tag, content, bytes } = readElement(found.value)
    if (tag !== 0x04 || bytes.length !== found.value.length || !content.equals(digest))
      return 'Received certificate with unexpected acmeIdentifier digest'
    return null
  } catch (error) {
    return `Received certificate that cannot be read: ${error instanceof Error ? error.message : String(error)}`
  }
}

function isTheName(value: Buffer, identifier: Identifier): boolean {
  const names = readChildren(readElement(value).content)
  const [name] = names
  if (names.length !== 1 || name === undefined) return false
  if (identifier.type === 'ip') return name.tag === 0x87 && addressText(name.content) === identifier.value
  return name.tag === 0x82 && name.content.toString('latin1').toLowerCase() === identifier.value
}

function extensionsOf(der: Buffer): Map<string, { isCritical: boolean; value: Buffer }> {
  const [content] = readChildren(readElement(der).content)
  const wrapper = readChildren(content?.content ?? Buffer.alloc(0)).find(({ tag }) => tag === 0xa3)
  const list = wrapper === undefined ? [] : readChildren(readElement(wrapper.content).content)
  return new Map(
    list.map((item) => {
      const parts = readChildren(item.content)
      const isCritical = parts.length === 3 && parts[1]?.content[0] === 0xff
      return [
        objectIdText(parts[0]?.content ?? Buffer.alloc(0)),
        { isCritical, value: parts.at(-1)?.content ?? Buffer.alloc(0) },
      ]
    }),
  )
}
