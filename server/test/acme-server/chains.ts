import { execFileSync } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** The certificates of a PEM chain. */
export function splitChain(pem: string): X509Certificate[] {
  return pem
    .split(/(?=-----BEGIN)/)
    .filter((part) => part.trim() !== '')
    .map((part) => new X509Certificate(part))
}

/** Whether each certificate was issued and signed by the next one, the last by the root. By node:crypto. */
export function isChain(pem: string, rootPem: string): boolean {
  const all = [...splitChain(pem), new X509Certificate(rootPem)]
  return all.every((certificate, index) => {
    const issuer = all[index + 1] ?? certificate
    return certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey)
  })
}

/** What `openssl verify` says of a server certificate's chain: `OK`, or its error text. */
export function opensslVerify(pem: string, rootPem: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'verify-'))
  try {
    for (const [name, text] of Object.entries({ root: rootPem, chain: pem })) writeFileSync(join(folder, name), text)
    const args = ['verify', '-x509_strict', '-purpose', 'sslserver', '-CAfile', 'root', '-untrusted', 'chain', 'chain']
    const output = execFileSync('openssl', args, { cwd: folder, encoding: 'utf8', stdio: 'pipe' })
    return output.trim().replace(/^chain: /, '')
  } catch (error) {
    return String((error as { stderr?: string }).stderr)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
