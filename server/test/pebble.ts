import 'reflect-metadata'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { request } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { BasicConstraintsExtension, SubjectAlternativeNameExtension, X509CertificateGenerator } from '@peculiar/x509'
import { generateKeyPem, importKeyPair } from '../control/certificates/keys.ts'
import { freePorts } from './ports.ts'

const START_DEADLINE_MS = 30_000

/** What a test may choose of its Pebble. */
export type PebbleOptions = {
  /** Where Pebble sends http-01 requests (at 127.0.0.1, whatever the name). */
  readonly httpPort: number
  /** And tls-alpn-01 connections; default nowhere. */
  readonly tlsPort?: number
  /** Lifetime of what it issues; default 90 days. */
  readonly certificateValiditySeconds?: number
  /** Up to so long it sleeps before each validation; default not at all. */
  readonly validationSleepSeconds?: number
  /** Share of good nonces that it refuses; default 5. */
  readonly nonceRejectPercent?: number
  /** Share of valid authorizations that it uses again; default 0. */
  readonly authorizationReusePercent?: number
  /** Accounts need one of these: key id -> HMAC key, base64url. */
  readonly externalAccounts?: Readonly<Record<string, string>>
  /** Where it looks names up, `address:port`; its own test server unless said. */
  readonly dnsServer?: string
  /** Listen again where an earlier one did. */
  readonly ports?: { readonly api: number; readonly management: number }
}

/** A running Pebble with its own DNS, stopped and removed by `await using`. */
export type Pebble = AsyncDisposable & {
  readonly directoryUrl: string
  /** PEM root of Pebble's own HTTPS, for `NAMEPLATE_ACME_CA_FILE`. */
  readonly caFile: string
  readonly caPem: string
  /** `address:port` of its DNS server, for `NAMEPLATE_DNS_SERVERS`. */
  readonly dnsServer: string
  readonly ports: { readonly api: number; readonly management: number }
  /** The root that what it issues chains to; another one after each start. */
  rootPem(): Promise<string>
  /** What it says of a certificate by its serial number: `Valid` or `Revoked`, with the code of the reason. */
  certificateStatus(serial: string): Promise<{ readonly Status: string; readonly Reason?: number }>
  /** Names resolve to 127.0.0.1 unless said otherwise here. */
  setA(name: string, addresses: readonly string[]): Promise<void>
  setTxt(name: string, value: string): Promise<void>
  clearTxt(name: string): Promise<void>
  /** Answers to every query for the name become SERVFAIL. */
  setServFail(name: string): Promise<void>
  clearServFail(name: string): Promise<void>
  /** All that Pebble has logged. */
  log(): string
  /** Orders that were made, by its log. */
  orderCount(): number
  /** Stops Pebble where it stands (SIGSTOP), and lets it go on: it answers nothing meanwhile. */
  pause(): void
  resume(): void
  /** Stops Pebble alone, as an outage; DNS goes on. */
  stop(): Promise<void>
  /** Starts it again at the same place; it has forgotten all accounts and orders. */
  restart(): Promise<void>
}

/** Starts Debian's `pebble` and `pebble-challtestsrv` on free ports. Throws when they are not installed. */
export async function startPebble(options: PebbleOptions): Promise<Pebble> {
  const folder = mkdtempSync(join(tmpdir(), 'pebble-'))
  const [api, management, dns, control] = await freePorts(4)
  const ports = options.ports ?? { api: api ?? 0, management: management ?? 0 }
  const { caPem } = await writeKeyPair(folder)
  writeConfig(folder, ports, options)
  const dnsServer = `127.0.0.1:${dns}`
  const logs: string[] = []
  const challenges = run('pebble-challtestsrv', challengeArguments(dnsServer, control ?? 0), {}, [])
  const environment = {
    ...(options.validationSleepSeconds === undefined
      ? { PEBBLE_VA_NOSLEEP: '1' }
      : { PEBBLE_VA_SLEEPTIME: String(options.validationSleepSeconds) }),
    // The list of an account's orders is told in few pages.
    PEBBLE_WFE_ORDERS_PER_PAGE: '500',
    PEBBLE_WFE_NONCEREJECT: String(options.nonceRejectPercent ?? 5),
    PEBBLE_AUTHZREUSE: String(options.authorizationReusePercent ?? 0),
  }
  const args = ['-strict', '-config', join(folder, 'pebble.json'), '-dnsserver', options.dnsServer ?? dnsServer]
  let pebble = run('pebble', args, environment, logs)
  const directoryUrl = `https://127.0.0.1:${ports.api}/dir`
  const ready = (): Promise<void> => waitFor(() => get(directoryUrl, caPem), pebble, logs)
  const manage = (path: string, body: object): Promise<void> => post(`http://127.0.0.1:${control}/${path}`, body)

  await ready()
  await waitFor(() => manage('clear-txt', { host: 'ready.test.' }), challenges, logs)
  return {
    directoryUrl,
    caFile: join(folder, 'ca.pem'),
    caPem,
    dnsServer,
    ports,
    certificateStatus: async (serial) =>
      JSON.parse(await get(`https://127.0.0.1:${ports.management}/cert-status-by-serial/${serial}`, caPem)),
    rootPem: () => get(`https://127.0.0.1:${ports.management}/roots/0`, caPem),
    async setA(name, addresses) {
      await manage('clear-a', { host: `${name}.` })
      await manage('add-a', { host: `${name}.`, addresses })
    },
    setTxt: (name, value) => manage('set-txt', { host: `${name}.`, value }),
    clearTxt: (name) => manage('clear-txt', { host: `${name}.` }),
    setServFail: (name) => manage('set-servfail', { host: `${name}.` }),
    clearServFail: (name) => manage('clear-servfail', { host: `${name}.` }),
    log: () => logs.join(''),
    orderCount: () => logs.join('').match(/Added order "/g)?.length ?? 0,
    pause: () => void pebble.kill('SIGSTOP'),
    resume: () => void pebble.kill('SIGCONT'),
    stop: () => end(pebble),
    async restart() {
      pebble = run('pebble', args, environment, logs)
      await ready()
    },
    async [Symbol.asyncDispose]() {
      await Promise.all([end(pebble), end(challenges)])
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

async function writeKeyPair(folder: string): Promise<{ caPem: string }> {
  const keyPem = await generateKeyPem()
  const certificate = await X509CertificateGenerator.createSelfSigned({
    name: 'CN=pebble test',
    keys: await importKeyPair(keyPem),
    signingAlgorithm: { name: 'ECDSA', hash: 'SHA-256' },
    extensions: [
      new BasicConstraintsExtension(true, 0, true),
      new SubjectAlternativeNameExtension([
        { type: 'ip', value: '127.0.0.1' },
        { type: 'dns', value: 'localhost' },
      ]),
    ],
  })
  const caPem = certificate.toString('pem')
  writeFileSync(join(folder, 'ca.pem'), caPem)
  writeFileSync(join(folder, 'key.pem'), keyPem, { mode: 0o600 })
  return { caPem }
}

function writeConfig(folder: string, ports: Pebble['ports'], options: PebbleOptions): void {
  const pebble = {
    listenAddress: `127.0.0.1:${ports.api}`,
    managementListenAddress: `127.0.0.1:${ports.management}`,
    certificate: join(folder, 'ca.pem'),
    privateKey: join(folder, 'key.pem'),
    httpPort: options.httpPort,
    tlsPort: options.tlsPort ?? 1,
    ocspResponderURL: '',
    externalAccountBindingRequired: options.externalAccounts !== undefined,
    externalAccountMACKeys: options.externalAccounts ?? {},
    certificateValidityPeriod: options.certificateValiditySeconds ?? 90 * 86_400,
  }
  writeFileSync(join(folder, 'pebble.json'), JSON.stringify({ pebble }))
}

function challengeArguments(dnsServer: string, control: number): string[] {
  const off = ['-http01', '', '-https01', '', '-tlsalpn01', '']
  const dns = ['-defaultIPv4', '127.0.0.1', '-defaultIPv6', '', '-dns01', dnsServer]
  return [...dns, ...off, '-management', `127.0.0.1:${control}`]
}

function run(
  command: string,
  args: readonly string[],
  environment: Record<string, string>,
  logs: string[],
): ChildProcess {
  const child = spawn(command, args, { env: { ...process.env, ...environment }, stdio: ['ignore', 'pipe', 'pipe'] })
  child.on('error', (error) => logs.push(`${command}: ${error.message} (install Debian's package "pebble")\n`))
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (chunk: Buffer) => logs.push(chunk.toString()))
  return child
}

async function end(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, 'exit')
  child.kill('SIGKILL')
  await exited
}

async function waitFor(attempt: () => Promise<unknown>, child: ChildProcess, logs: readonly string[]): Promise<void> {
  const deadline = Date.now() + START_DEADLINE_MS
  for (;;) {
    try {
      await attempt()
      return
    } catch (cause) {
      const hasEnded = child.pid === undefined || child.exitCode !== null
      if (hasEnded || Date.now() > deadline) throw new Error(`pebble did not start: ${logs.join('')}`, { cause })
      await sleep(25)
    }
  }
}

function get(url: string, ca: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const outgoing = request(url, { ca, agent: false, timeout: 5_000 }, (incoming) => {
      const chunks: Buffer[] = []
      incoming.on('data', (chunk: Buffer) => chunks.push(chunk))
      incoming.on('end', () => resolve(Buffer.concat(chunks).toString()))
    })
    outgoing.on('timeout', () => outgoing.destroy(new Error('timed out')))
    outgoing.on('error', reject)
    outgoing.end()
  })
}

async function post(url: string, body: object): Promise<void> {
  const response = await fetch(url, { method: 'POST', body: JSON.stringify(body), signal: AbortSignal.timeout(5_000) })
  if (!response.ok) throw new Error(`${url} answered ${response.status}`)
}
