import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** A certificate that `openssl` made, with its key, both PEM. */
export type OpensslCertificate = { readonly certPem: string; readonly keyPem: string }

/** What a certificate is to be. */
export type OpensslRequest = {
  readonly commonName: string
  /** As `openssl genpkey -algorithm` takes it: default `EC -pkeyopt ec_paramgen_curve:P-256`. */
  readonly key?: string
  readonly names?: readonly string[]
  readonly isCa?: boolean
  readonly usage?: string
  /** Days from now; default from -1 to 90. */
  readonly fromDay?: number
  readonly toDay?: number
  readonly digest?: string
  /** Who signs it; itself when absent. */
  readonly issuer?: OpensslCertificate
  /** A key that is there already. */
  readonly keyPem?: string
}

/** The `openssl` command in a folder of its own. */
export type Openssl = Disposable & {
  /** Runs it with files of the folder and returns what it printed. */
  run(args: readonly string[]): Buffer
  write(name: string, content: string | Buffer): void
  read(name: string): Buffer
  make(request: OpensslRequest): OpensslCertificate
}

const DAY_MS = 86_400_000

/** Makes the folder; `using` removes it. */
export function createOpenssl(): Openssl {
  const folder = mkdtempSync(join(tmpdir(), 'openssl-'))
  let made = 0
  const openssl: Openssl = {
    run: (args) => execFileSync('openssl', args, { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'], maxBuffer: 64e6 }),
    write: (name, content) => writeFileSync(join(folder, name), content),
    read: (name) => readFileSync(join(folder, name)),
    make(request) {
      made += 1
      const at = `c${made}`
      const key = request.key ?? 'EC -pkeyopt ec_paramgen_curve:P-256'
      if (request.keyPem === undefined) openssl.run(['genpkey', '-algorithm', ...key.split(' '), '-out', `${at}.key`])
      else openssl.write(`${at}.key`, request.keyPem)
      openssl.run(['req', '-new', '-key', `${at}.key`, '-subj', `/CN=${request.commonName}`, '-out', `${at}.csr`])
      openssl.write(`${at}.cnf`, configOf(request, at))
      openssl.write(`${at}.txt`, '')
      openssl.write(`${at}.srl`, `${randomBytes(15).toString('hex')}00\n`)
      const signer =
        request.issuer === undefined
          ? ['-selfsign', '-keyfile', `${at}.key`]
          : ['-cert', `${at}.ca`, '-keyfile', `${at}.cakey`]
      if (request.issuer !== undefined) {
        openssl.write(`${at}.ca`, request.issuer.certPem)
        openssl.write(`${at}.cakey`, request.issuer.keyPem)
      }
      const { fromDay = -1, toDay = 90, digest = 'sha256' } = request
      const dates = ['-startdate', dateOf(fromDay), '-enddate', dateOf(toDay)]
      const files = ['-in', `${at}.csr`, '-out', `${at}.pem`, '-notext', '-batch', '-md', digest]
      openssl.run(['ca', '-config', `${at}.cnf`, ...signer, ...dates, ...files])
      return { certPem: openssl.read(`${at}.pem`).toString(), keyPem: openssl.read(`${at}.key`).toString() }
    },
    [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }),
  }
  return openssl
}

function configOf({ names = [], isCa = false, usage }: OpensslRequest, at: string): string {
  const extensions = [
    `basicConstraints=critical,CA:${isCa ? 'TRUE' : 'FALSE'}`,
    'subjectKeyIdentifier=hash',
    ...(names.length === 0 ? [] : [`subjectAltName=${names.map((name) => `DNS:${name}`).join(',')}`]),
    ...(usage === undefined ? [] : [`extendedKeyUsage=${usage}`]),
  ]
  return [
    '[ca]\ndefault_ca=d\n[d]\npolicy=p\nx509_extensions=e\nunique_subject=no',
    `database=${at}.txt\nserial=${at}.srl\nnew_certs_dir=.\n[p]\ncommonName=supplied\n[e]`,
    ...extensions,
    '',
  ].join('\n')
}

function dateOf(day: number): string {
  return new Date(Date.now() + day * DAY_MS).toISOString().replace(/[-:T]/g, '').slice(0, 14).concat('Z')
}
