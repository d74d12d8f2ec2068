import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import tls from 'node:tls'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createTestAuthority } from '../certificates.ts'
import { addressRecord, type ListenerRig, nameRecord, runtimes, siteRecord, startListenerRig } from '../listener-rig.ts'
import { sClient } from '../s-client.ts'
import { run } from '../visit.ts'

/** Clients of other people, each with a TLS of its own, reach the right site and are given its certificate. */
const sites = ['a.example.com', 'b.example.com'] as const
const clients = fileURLToPath(new URL('../clients', import.meta.url))
const requestFor = (host: string): string => `GET / HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`

let folder: string
let caFile: string
let hostsFile: string
/** Built once, while the first rig starts. */
let goClient: Promise<string>
let authority: Awaited<ReturnType<typeof createTestAuthority>>

beforeAll(async () => {
  authority = await createTestAuthority()
  folder = mkdtempSync(join(tmpdir(), 'nameplate-interop-'))
  caFile = join(folder, 'ca.pem')
  hostsFile = join(folder, 'hosts')
  goClient = buildGo()
  writeFileSync(caFile, authority.caPem)
  writeFileSync(hostsFile, sites.map((site) => `127.0.0.1 ${site}\n`).join(''))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** Compiles the client: its path. */
async function buildGo(): Promise<string> {
  const path = join(folder, 'visit-go')
  const build = 'exec env GO111MODULE=off GOFLAGS= GOCACHE="$1/go" go build -o "$2" "$3"'
  const { code, stderr } = await run('sh', ['-c', build, 'sh', folder, path, join(clients, 'visit.go')], '', 300_000)
  if (code !== 0) throw new Error(`go build: ${stderr}`)
  return path
}

describe.each(runtimes)('on %s', (runtime) => {
  let rig: ListenerRig
  beforeAll(async () => {
    const [a, b] = [await authority.issue([sites[0]]), await authority.issue([sites[1]])]
    const old = await authority.issue(['old.example.com'], { rsa: true })
    rig = await startListenerRig({
      runtime,
      records: (parts) => [
        ...[a, b, old].map((certificate) => parts.certificate(certificate)),
        nameRecord(sites[0], 'a', a),
        nameRecord(sites[1], 'b', b),
        nameRecord('old.example.com', 'old', old),
        addressRecord('127.0.0.2', 'old', old),
        siteRecord('a', { manifest: parts.release({ 'index.html': 'page of a.example.com' }) }),
        siteRecord('b', { manifest: parts.release({ 'index.html': 'page of b.example.com' }) }),
        siteRecord('old', { manifest: parts.release({ 'index.html': 'page of old.example.com' }) }),
      ],
    })
  })
  afterAll(() => rig?.close())

  const curl = async (host: string, ...args: string[]): Promise<string> => {
    const to = `${host}:${rig.httpsPort}:127.0.0.1`
    const form = ' %{http_version} %{ssl_verify_result}'
    const fixed = ['-sS', '--cacert', caFile, '--resolve', to, '-w', form, `https://${host}:${rig.httpsPort}/`]
    const { stdout, stderr } = await run('curl', [...args, ...fixed])
    return stdout + stderr
  }
  const gnutls = async (host: string, priority: string): Promise<string> => {
    const names = ['--sni-hostname', host, '--verify-hostname', host]
    const args = ['--x509cafile', caFile, '--priority', priority, ...names, '-p', String(rig.httpsPort), '127.0.0.1']
    return (await run('gnutls-cli', args, requestFor(host))).stdout
  }
  const nss = async (host: string, versions: string): Promise<string> => {
    const args = ['-D', '-o', '-h', '127.0.0.1', '-p', String(rig.httpsPort), '-a', host, '-V', versions]
    const { stdout, stderr } = await run('tstclnt', args, requestFor(host))
    return stdout + stderr
  }
  const python = async (host: string, lowest: string, highest: string): Promise<string> => {
    const args = [join(clients, 'visit.py'), caFile, String(rig.httpsPort), host, lowest, highest]
    const { stdout, stderr } = await run('python3', args)
    return stdout + stderr
  }

  test.each(sites)('curl reaches %s', async (host) => {
    expect(await curl(host, '--http1.1')).toBe(`page of ${host} 1.1 0`)
    expect(await curl(host, '--http2')).toBe(`page of ${host} 2 0`)
    expect(await curl(host, '--http1.1', '--tls-max', '1.2')).toBe(`page of ${host} 1.1 0`)
    expect(await curl(host, '--http2', '--tlsv1.3')).toBe(`page of ${host} 2 0`)
    expect(await curl(host, '--http2', '--curves', 'P-256')).toBe(`page of ${host} 2 0`)
    expect(await curl(host, '--tls-max', '1.1')).toMatch(/curl: \(35\)/)
  })

  test.each(sites)('GnuTLS reaches %s', async (host) => {
    for (const versions of ['+VERS-TLS1.2', '+VERS-TLS1.3', '+VERS-TLS1.2:+VERS-TLS1.3']) {
      const output = await gnutls(host, `NORMAL:-VERS-ALL:${versions}`)
      expect(output).toContain(`page of ${host}`)
      expect(output).toContain('The certificate is trusted')
    }
    expect(await gnutls(host, 'NORMAL:-GROUP-ALL:+GROUP-SECP256R1')).toContain(`page of ${host}`)
  })

  test.each(sites)('NSS reaches %s', async (host) => {
    for (const versions of ['tls1.2:tls1.2', 'tls1.3:tls1.3', 'tls1.2:tls1.3'])
      expect(await nss(host, versions)).toContain(`page of ${host}`)
    expect(await nss(host, 'tls1.0:tls1.1')).not.toContain('page of')
  })

  test.each(sites)('Python reaches %s', async (host) => {
    expect(await python(host, 'TLSv1_2', 'TLSv1_2')).toBe(`TLSv1.2 page of ${host}\n`)
    expect(await python(host, 'TLSv1_2', 'TLSv1_3')).toBe(`TLSv1.3 page of ${host}\n`)
  })

  test.each(sites)('OpenSSL reaches %s', async (host) => {
    for (const args of [['-tls1_2'], ['-tls1_3'], ['-curves', 'P-256'], ['-curves', 'X25519']]) {
      const all = ['-CAfile', caFile, '-verify_return_error', '-verify_hostname', host, '-servername', host, ...args]
      const { output } = await sClient(rig.httpsPort, all, host)
      expect(output).toContain(`page of ${host}`)
      expect(output).toContain('Verify return code: 0 (ok)')
    }
  })

  test('OpenSSL without a name reaches the site of a dedicated address, and none on a shared one', async () => {
    const connect = ['-connect', `127.0.0.2:${rig.httpsPort}`, '-noservername', '-CAfile', caFile]
    for (const version of ['-tls1_2', '-tls1_3']) {
      const dedicated = await sClient(rig.httpsPort, [...connect, version], '127.0.0.2')
      expect(dedicated.output).toContain('page of old.example.com')
      expect(dedicated.subject).toContain('old.example.com')
      const shared = await sClient(rig.httpsPort, ['-noservername', version], sites[0])
      expect([shared.alert, shared.subject]).toEqual([112, null])
    }
  })

  test.each(sites)(
    'Node reaches %s over X25519MLKEM768, whose hello takes more than one packet',
    async (servername) => {
      const options = { host: '127.0.0.1', port: rig.httpsPort, servername, ca: authority.caPem }
      const socket = tls.connect({ ...options, ecdhCurve: 'X25519MLKEM768', ALPNProtocols: ['http/1.1'] })
      await once(socket, 'secureConnect')
      socket.write(requestFor(servername))
      let answer = ''
      for await (const piece of socket) answer += String(piece)
      expect(answer).toContain(`page of ${servername}`)
    },
  )

  test('Go reaches both, resumes its sessions, and is told that a name is nobody’s', async () => {
    const { stdout, stderr } = await run(await goClient, [caFile, String(rig.httpsPort), ...sites])
    const lines = sites.flatMap((host) => [
      `HTTP/1.1 200 full page of ${host}`,
      `HTTP/1.1 200 resumed page of ${host}`,
      `HTTP/2.0 200 full page of ${host}`,
    ])
    const nobody = /^nobody\.example\.com Get "[^"]+": remote error: tls: unrecognized name$/
    expect([stdout.trimEnd().split('\n'), stderr]).toEqual([[...lines, ...lines, expect.stringMatching(nobody)], ''])
  })

  test.runIf(existsSync('/usr/bin/java'))('Java reaches both', async () => {
    const urls = sites.map((host) => `https://${host}:${rig.httpsPort}/`)
    const args = [`-Djdk.net.hosts.file=${hostsFile}`, '-Xmx64m', join(clients, 'Visit.java'), caFile, ...urls]
    const { stdout, stderr } = await run('java', args)
    const lines = sites.map((host) => `HTTP_1_1 200 page of ${host}\nHTTP_2 200 page of ${host}\n`)
    expect([stdout, stderr]).toEqual([lines.join(''), ''])
  })
})
