import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { freePorts } from './ports.ts'

/**
 * Real name servers from Debian's packages, each at a loopback address of its own and all at one port that stands
 * in for 53: BIND as resolver and primary of some zones, Knot as primary of others, another Knot as a secondary that
 * fetches a zone only when it is told to, PowerDNS with its API.
 */

const START_DEADLINE_MS = 30_000
/** BIND listens at addresses that an interface has, so that only it may be at 127.0.0.1. */
const addresses = { bind: '127.0.0.1', knot: '127.0.0.2', secondary: '127.0.0.3', powerdns: '127.0.0.4' }
/** The API key of PowerDNS. */
export const POWERDNS_KEY = 'a-key-of-the-tests'

/** TSIG keys that the primaries know; `other` may change nothing. */
export const tsigKeys = {
  'acme-key': { algorithm: 'hmac-sha256', secret: Buffer.alloc(32, 'k').toString('base64') },
  'long-key.example': { algorithm: 'hmac-sha512', secret: Buffer.alloc(64, 'l').toString('base64') },
  other: { algorithm: 'hmac-sha256', secret: Buffer.alloc(32, 'o').toString('base64') },
} as const

const mayUpdate = ['acme-key', 'long-key.example']

/** A zone of a primary: its records beside SOA and NS; `isDoubled` ones of Knot are at the secondary too. */
export type TestZone = {
  readonly name: string
  readonly at: 'bind' | 'knot'
  readonly records?: readonly string[]
  readonly isDoubled?: boolean
  readonly isReadOnly?: boolean
}

/** A zone of another server, for the resolver. */
type Forward = { readonly name: string; readonly at: string }

/** The servers of one test, ended by `await using`. */
export type NameServers = AsyncDisposable & {
  /** In the place of 53, at every one of them. */
  readonly port: number
  /** `address:port` of a resolver that finds all zones, as `NAMEPLATE_DNS_SERVERS` takes it. */
  readonly resolver: string
  /** `address:port` of the primaries, where updates go. */
  readonly primaries: { readonly bind: string; readonly knot: string }
  /** URL of PowerDNS's web server; the zone `power.test` is there. */
  readonly powerDnsUrl: string
  /** The secondary fetches a zone now. */
  catchUp(zone: string): Promise<void>
  /** The secondary stops to answer, or goes on. */
  pauseSecondary(isPaused: boolean): void
  /** All that they have logged. */
  readonly log: () => string
}

/** Starts those that `wanted` names; the resolver always. Throws when Debian's packages are not installed. */
export async function startNameServers(
  zones: readonly TestZone[],
  wanted: { readonly powerdns?: boolean } = {},
): Promise<NameServers> {
  const folder = mkdtempSync(join(tmpdir(), 'names-'))
  chmodSync(folder, 0o755)
  const [port = 0, webPort = 0] = await freePorts(2)
  const logs: string[] = []
  const children: ChildProcess[] = []
  const start = async (command: string, args: readonly string[], ready: RegExp): Promise<ChildProcess> => {
    const own: string[] = []
    const child = spawn(command, args, { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] })
    children.push(child)
    child.on('error', (error) => own.push(`${command}: ${error.message} (install its Debian package)`))
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk: Buffer) => {
        own.push(chunk.toString())
        logs.push(chunk.toString())
      })
    const deadline = Date.now() + START_DEADLINE_MS
    while (!ready.test(own.join(''))) {
      if (Date.now() > deadline || child.exitCode !== null) throw new Error(`${command} did not start: ${own.join('')}`)
      await sleep(20)
    }
    return child
  }
  const doubled = zones.filter((zone) => zone.isDoubled === true)
  const others: Forward[] = [
    ...zones.filter(({ at }) => at === 'knot').map(({ name }) => ({ name, at: addresses.knot })),
    ...(wanted.powerdns === true ? [{ name: 'power.test', at: addresses.powerdns }] : []),
  ]
  try {
    await start('named', ['-g', '-p', String(port), '-c', writeBind(folder, port, zones, others)], /all zones loaded/)
    await start('knotd', ['-c', writeKnot(folder, port, zones)], /server started/)
    const secondary =
      doubled.length === 0
        ? null
        : await start('knotd', ['-c', writeSecondary(folder, port, doubled)], /server started/)
    const powerDnsUrl = `http://127.0.0.1:${webPort}/`
    if (wanted.powerdns === true) {
      const config = writePowerDns(folder, port, webPort)
      await start('pdns_server', [`--config-dir=${config}`], /Done launching threads|ready to distribute/)
      await addPowerDnsZone(powerDnsUrl)
    }
    const servers: NameServers = {
      port,
      resolver: `${addresses.bind}:${port}`,
      primaries: { bind: `${addresses.bind}:${port}`, knot: `${addresses.knot}:${port}` },
      powerDnsUrl,
      log: () => logs.join(''),
      catchUp: async (zone) => {
        const socket = join(folder, 'secondary', 'knot.sock')
        await promisify(execFile)('knotc', ['-s', socket, '-b', '-f', 'zone-retransfer', zone])
      },
      pauseSecondary: (isPaused) => void secondary?.kill(isPaused ? 'SIGSTOP' : 'SIGCONT'),
      [Symbol.asyncDispose]: () => endAll(children, folder),
    }
    for (const { name } of doubled) await servers.catchUp(name)
    return servers
  } catch (error) {
    await endAll(children, folder)
    throw error
  }
}

async function endAll(children: readonly ChildProcess[], folder: string): Promise<void> {
  for (const child of children) {
    if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) continue
    const exited = once(child, 'exit')
    child.kill('SIGKILL')
    await exited
  }
  rmSync(folder, { recursive: true, force: true })
}

function writeBind(folder: string, port: number, zones: readonly TestZone[], others: readonly Forward[]): string {
  const home = newFolder(folder, 'bind')
  const keys = Object.entries(tsigKeys).map(
    ([name, { algorithm, secret }]) => `key "${name}" { algorithm ${algorithm}; secret "${secret}"; };`,
  )
  const own = zones
    .filter(({ at }) => at === 'bind')
    .map((zone) => {
      const grants = mayUpdate.map((key) => `grant "${key}" zonesub TXT;`).join(' ')
      const policy = zone.isReadOnly === true ? '' : `update-policy { ${grants} };`
      return `zone "${zone.name}" { type primary; file "${writeZone(home, zone)}"; ${policy} };`
    })
  const forwards = others.map(
    ({ name, at }) => `zone "${name}" { type forward; forward only; forwarders { ${at} port ${port}; }; };`,
  )
  const options = `directory "${home}"; pid-file none; session-keyfile "${home}/session.key"; listen-on-v6 { none; };
    listen-on { ${addresses.bind}; }; recursion yes; allow-recursion { any; }; max-cache-ttl 0; max-ncache-ttl 0;
    dnssec-validation no; empty-zones-enable no; managed-keys-directory "${home}"; notify no;`
  const file = join(home, 'named.conf')
  writeFileSync(file, [`options { ${options} };`, 'controls { };', ...keys, ...own, ...forwards].join('\n'))
  return file
}

function writeKnot(folder: string, port: number, zones: readonly TestZone[]): string {
  const home = newFolder(folder, 'knot')
  const keys = Object.entries(tsigKeys).map(
    ([name, { algorithm, secret }]) => `  - id: ${name}\n    algorithm: ${algorithm}\n    secret: ${secret}`,
  )
  const own = zones
    .filter(({ at }) => at === 'knot')
    .map((zone) => {
      const rules = zone.isReadOnly === true ? '[transfer]' : '[transfer, update]'
      return `  - domain: ${zone.name}\n    file: ${writeZone(home, zone)}\n    acl: ${rules}`
    })
  const file = join(home, 'knot.conf')
  writeFileSync(
    file,
    `${knotServer(home, addresses.knot, port)}
key:
${keys.join('\n')}
acl:
  - id: transfer
    address: 127.0.0.0/8
    action: transfer
  - id: update
    key: [${mayUpdate.join(', ')}]
    action: update
    update-type: [TXT]
${own.length === 0 ? '' : `zone:\n${own.join('\n')}`}
`,
  )
  return file
}

/** Refreshes once a day, and the primary tells it nothing: it lags until it is told to catch up. */
function writeSecondary(folder: string, port: number, zones: readonly TestZone[]): string {
  const home = newFolder(folder, 'secondary')
  const file = join(home, 'knot.conf')
  const remote = `remote:\n  - id: primary\n    address: ${addresses.knot}@${port}`
  const own = zones.map(({ name }) => `  - domain: ${name}\n    storage: ${home}\n    master: primary`)
  writeFileSync(file, `${knotServer(home, addresses.secondary, port)}\n${remote}\nzone:\n${own.join('\n')}\n`)
  return file
}

function knotServer(home: string, address: string, port: number): string {
  const log = 'log:\n  - target: stderr\n    any: info'
  return `server:\n    listen: ${address}@${port}\n    rundir: ${home}\n${log}\ndatabase:\n    storage: ${home}`
}

function writePowerDns(folder: string, port: number, webPort: number): string {
  const home = newFolder(folder, 'powerdns')
  const database = new DatabaseSync(join(home, 'pdns.sqlite'))
  database.exec(readFileSync('/usr/share/pdns-backend-sqlite3/schema/schema.sqlite3.sql', 'utf8'))
  database.close()
  const settings = {
    launch: 'gsqlite3',
    'gsqlite3-database': join(home, 'pdns.sqlite'),
    'local-address': addresses.powerdns,
    'local-port': port,
    api: 'yes',
    'api-key': POWERDNS_KEY,
    'webserver-address': '127.0.0.1',
    'webserver-port': webPort,
    'socket-dir': home,
    'cache-ttl': 0,
    'query-cache-ttl': 0,
    'negquery-cache-ttl': 0,
    'zone-cache-refresh-interval': 0,
    'default-soa-content': 'ns.@ hostmaster.@ 0 3600 600 86400 0',
  }
  const lines = Object.entries(settings).map(([name, value]) => `${name}=${value}`)
  writeFileSync(join(home, 'pdns.conf'), lines.join('\n'))
  return home
}

async function addPowerDnsZone(url: string): Promise<void> {
  const record = (name: string, type: string, content: string) => ({
    name,
    type,
    ttl: 0,
    records: [{ content, disabled: false }],
  })
  const rrsets = [
    record('power.test.', 'NS', 'ns.power.test.'),
    record('ns.power.test.', 'A', addresses.powerdns),
    record('taken.power.test.', 'TXT', '"of somebody else"'),
  ]
  const answer = await fetch(`${url}api/v1/servers/localhost/zones`, {
    method: 'POST',
    headers: { 'x-api-key': POWERDNS_KEY },
    body: JSON.stringify({ name: 'power.test.', kind: 'Native', rrsets }),
  })
  if (!answer.ok) throw new Error(`the zone of PowerDNS: ${await answer.text()}`)
}

/** TTL 0 throughout: a test that changes a record means it. */
function writeZone(home: string, { name, at, records = [], isDoubled }: TestZone): string {
  const lines = [
    '$TTL 0',
    `@ IN SOA ns1.${name}. hostmaster.${name}. 1 86400 86400 864000 0`,
    `@ IN NS ns1.${name}.`,
    `ns1 IN A ${addresses[at]}`,
    ...(isDoubled === true ? [`@ IN NS ns2.${name}.`, `ns2 IN A ${addresses.secondary}`] : []),
    ...records,
    '',
  ]
  const file = join(home, `${name}.zone`)
  writeFileSync(file, lines.join('\n'))
  return file
}

function newFolder(folder: string, name: string): string {
  const path = join(folder, name)
  mkdirSync(path)
  return path
}
