import { once } from 'node:events'
import net from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createTestAuthority, type TestCertificate } from '../test/certificates.ts'
import {
  addressRecord,
  type ListenerRig,
  nameRecord,
  type RigRecord,
  runtimes,
  siteRecord,
  startListenerRig,
} from '../test/listener-rig.ts'
import { sClient } from '../test/s-client.ts'
import { run } from '../test/visit.ts'

const PROTOCOL_VERSION = 70
/** One dedicated address for each way; 127.0.0.1 is shared. */
const addresses = { 'tls1.0': '127.0.0.2', 'tls1.0-3des': '127.0.0.3', none: '127.0.0.4' } as const
const old = ['-cipher', 'ALL@SECLEVEL=0']

let rsa: TestCertificate
let ecdsa: TestCertificate
let other: TestCertificate
/** Of the same site, with ECDSA alone. */
let young: TestCertificate

beforeAll(async () => {
  const authority = await createTestAuthority()
  rsa = await authority.issue(['old.example', '*.old.example'], { rsa: true })
  young = await authority.issue(['young.old.example', 'young.example'])
  ecdsa = await authority.issue(['old.example'])
  other = await authority.issue(['other.example'], { rsa: true })
})

function legacyRecord(legacyTls: keyof typeof addresses): RigRecord {
  const record = addressRecord(addresses[legacyTls], 'old', ecdsa, rsa)
  return { ...record, payload: { siteId: 'old', certificates: [ecdsa.fingerprint, rsa.fingerprint], legacyTls } }
}

describe.each(runtimes)('a legacy address on %s', (runtime) => {
  let rig: ListenerRig
  beforeAll(async () => {
    rig = await startListenerRig({
      runtime,
      http: [],
      records: ({ certificate, release }) => [
        ...[rsa, ecdsa, young, other].map(certificate),
        ...['old', 'other'].map((id) => siteRecord(id, { manifest: release({ 'index.html': id }) })),
        nameRecord('old.example', 'old', ecdsa, rsa),
        nameRecord('young.old.example', 'old', young),
        nameRecord('young.example', 'old', young),
        nameRecord('other.example', 'other', other),
        ...(['tls1.0', 'tls1.0-3des', 'none'] as const).map(legacyRecord),
        addressRecord('127.0.0.1', null),
      ],
    })
  })
  afterAll(() => rig.close())

  const ask = (address: string, ...args: readonly string[]) =>
    sClient(rig.httpsPort, ['-connect', `${address}:${rig.httpsPort}`, ...args], address)
  const named = (name: string) => ['-servername', name]

  test.each(['-tls1', '-tls1_1'])(
    'serves its site to clients of %s, without a name and with its own',
    async (version) => {
      const seen = await ask(addresses['tls1.0'], version, ...old, '-noservername')
      expect(seen).toMatchObject({ session: 'New', subject: 'CN = old.example' })
      expect(seen.output).toMatch(/HTTP\/1\.1 200[\s\S]*\r\n\r\nold/)
      expect(await ask(addresses['tls1.0'], version, ...old, ...named('old.example'))).toMatchObject({ session: 'New' })
    },
  )

  test('shows the RSA certificate to who knows no other, and the ECDSA one to who does', async () => {
    const rsaOnly = await ask(addresses['tls1.0'], '-tls1', '-cipher', 'AES128-SHA@SECLEVEL=0', '-noservername')
    expect(rsaOnly.output).toMatch(/Server public key is 2048 bit/)
    const modern = await ask(addresses['tls1.0'], '-tls1_3', '-noservername')
    expect(modern.output).toMatch(/Server public key is 256 bit/)
  })

  test('shows an RSA certificate of its site to who asks for a name that has none, where that covers the name', async () => {
    const rsaOnly = ['-tls1', '-cipher', 'AES128-SHA@SECLEVEL=0']
    const covered = await ask(addresses['tls1.0'], ...rsaOnly, ...named('young.old.example'))
    expect(covered.output).toMatch(/Server public key is 2048 bit/)
    expect(covered.output).toMatch(/HTTP\/1\.1 200[\s\S]*\r\n\r\nold/)
    expect(await ask(addresses['tls1.0'], ...rsaOnly, ...named('young.example'))).toMatchObject({ session: null })
    const modern = await ask(addresses['tls1.0'], '-tls1_2', ...named('young.old.example'))
    expect(modern.subject).toBe('CN = young.old.example')
  })

  test('is one for its own site alone: TLS 1.0 is refused everywhere else', async () => {
    const seen = [
      await ask('127.0.0.1', '-tls1', ...old, ...named('old.example')),
      await ask('127.0.0.1', '-tls1_1', ...old, ...named('other.example')),
      await ask(addresses['tls1.0'], '-tls1', ...old, ...named('other.example')),
      await ask(addresses.none, '-tls1', ...old, '-noservername'),
    ]
    expect(seen.map(({ alert, session }) => [alert, session])).toEqual(seen.map(() => [PROTOCOL_VERSION, null]))
  })

  test('serves GnuTLS and NSS with TLS 1.0', async () => {
    const request = `GET / HTTP/1.0\r\nHost: ${addresses['tls1.0']}\r\n\r\n`
    const priority = 'NONE:+VERS-TLS1.0:+AES-128-CBC:+SHA1:+RSA:+COMP-NULL:+SIGN-ALL:+GROUP-ALL:%NO_EXTENSIONS:%COMPAT'
    const gnutls = await run(
      'gnutls-cli',
      ['--insecure', '--disable-sni', '--priority', priority, '-p', String(rig.httpsPort), addresses['tls1.0']],
      request,
    )
    expect(gnutls.stdout).toMatch(/TLS1\.0/)
    const nss = await tstclnt(addresses['tls1.0'], ':002F', request)
    expect(nss.stdout).toMatch(/HTTP\/1\.1 200/)
  })

  test('serves 3DES where it is named and the runtime has it, and nowhere else', async () => {
    const request = (address: string): string => `GET / HTTP/1.0\r\nHost: ${address}\r\n\r\n`
    const answers: boolean[] = []
    for (const address of [addresses['tls1.0-3des'], addresses['tls1.0'], addresses.none, '127.0.0.1']) {
      const { stdout } = await tstclnt(address, ':000A', request(address))
      answers.push(stdout.includes('HTTP/1.1 200'))
    }
    expect(answers).toEqual([runtime === 'bun', false, false, false])
    // TLS 1.0 with AES is served there on both.
    expect(await ask(addresses['tls1.0-3des'], '-tls1', ...old, '-noservername')).toMatchObject({ session: 'New' })
  })

  test('passes a hello in SSLv2 format to the TLS library; elsewhere the connection is closed without a word', async () => {
    const suites = Buffer.from([0x00, 0x00, 0x2f, 0x00, 0x00, 0x35])
    const challenge = Buffer.alloc(16, 7)
    const body = Buffer.concat([Buffer.of(1, 3, 1, 0, suites.length, 0, 0, 0, challenge.length), suites, challenge])
    const hello = Buffer.concat([Buffer.of(0x80 | (body.length >> 8), body.length & 255), body])
    const first = async (address: string): Promise<number | null> => {
      const socket = net.connect({ port: rig.httpsPort, host: address })
      socket.on('error', () => undefined)
      await once(socket, 'connect')
      socket.write(hello)
      const answer = await Promise.race([
        once(socket, 'data').then(([chunk]) => (chunk as Buffer)[0] ?? null),
        once(socket, 'close').then(() => null),
      ])
      socket.destroy()
      return answer
    }
    // A handshake record (22) where it is served; an alert (21) where the library has no such hello.
    expect(await first(addresses['tls1.0'])).toBeOneOf([21, 22])
    for (const address of [addresses.none, '127.0.0.1']) expect(await first(address)).toBeNull()
  })

  test('nobody may renegotiate or compress', async () => {
    const args = ['s_client', '-connect', `127.0.0.1:${rig.httpsPort}`, '-servername', 'old.example', '-tls1_2']
    const { stdout, stderr } = await run('openssl', args, 'R\n')
    expect(stdout).toMatch(/Compression: NONE/)
    expect(stdout + stderr).toMatch(/RENEGOTIATING[\s\S]*(no renegotiation|:error:|unexpected)/i)
  })

  /** NSS 3.87 with one suite of TLS 1.0. Its own policy would refuse what is old. */
  function tstclnt(address: string, suite: string, request: string) {
    const command = `NSS_IGNORE_SYSTEM_POLICY=1 exec timeout 20 tstclnt -h ${address} -p ${rig.httpsPort} -V tls1.0:tls1.0 -c ${suite} -o -D`
    return run('sh', ['-c', command], request)
  }
})
