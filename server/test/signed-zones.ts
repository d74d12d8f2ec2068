import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { Resolver } from 'node:dns/promises'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePorts } from './ports.ts'
import { eventually } from './stack.ts'

/** Knot with signed and unsigned zones, and Unbound in front that checks signatures; stopped by `await using`. */
export type SignedZones = AsyncDisposable & {
  /** Unbound, `127.0.0.1:<port>`. */
  readonly resolver: string
  /** The port at which Knot answers, at 127.0.0.2. */
  readonly port: number
}

/** A zone file without its SOA and NS, which are added; `ns1.<zone>` is 127.0.0.2. */
export type ZoneOptions = {
  readonly records: readonly string[]
  /** Signed by Knot, and so said by the resolver's trust anchor. */
  readonly isSigned?: boolean
  /** The anchor is that of another key: as after a move to another provider with the DS record left behind. */
  readonly hasWrongAnchor?: boolean
}

/**
 * Starts both with these zones, by name, all of them below `test.`, which is made with their delegations. Throws
 * when Debian's `knot` or `unbound` is not installed.
 */
export async function startSignedZones(below: Readonly<Record<string, ZoneOptions>>): Promise<SignedZones> {
  const zones: Record<string, ZoneOptions> = { test: { records: Object.keys(below).flatMap(delegation) }, ...below }
  const folder = mkdtempSync(join(tmpdir(), 'nameplate-zones-'))
  const [port = 0, resolverPort = 0] = await freePorts(2)
  mkdirSync(join(folder, 'db'))
  const children: ChildProcess[] = []
  const close = async (): Promise<void> => {
    for (const child of children) if (child.exitCode === null && child.kill('SIGTERM')) await once(child, 'exit')
    rmSync(folder, { recursive: true, force: true })
  }
  try {
    for (const [name, { records }] of Object.entries(zones))
      writeFileSync(join(folder, `${name}.zone`), zone(name, records))
    writeFileSync(join(folder, 'knot.conf'), knot(folder, port, zones))
    children.push(run('knotd', ['-c', join(folder, 'knot.conf')]))
    await answers(`127.0.0.2:${port}`, Object.keys(zones))
    writeFileSync(join(folder, 'unbound.conf'), unbound(folder, resolverPort, port, zones))
    children.push(run('unbound', ['-d', '-p', '-c', join(folder, 'unbound.conf')]))
    const sound = Object.entries(zones).flatMap(([name, { hasWrongAnchor }]) => (hasWrongAnchor === true ? [] : [name]))
    await answers(`127.0.0.1:${resolverPort}`, sound)
  } catch (error) {
    await close()
    throw error
  }
  return { resolver: `127.0.0.1:${resolverPort}`, port, [Symbol.asyncDispose]: close }
}

function run(command: string, args: readonly string[]): ChildProcess {
  const child = spawn(command, args, { stdio: 'ignore' })
  process.once('exit', () => child.kill('SIGKILL'))
  return child
}

async function answers(server: string, names: readonly string[]): Promise<void> {
  const resolver = new Resolver({ timeout: 500, tries: 1 })
  resolver.setServers([server])
  for (const name of names)
    await eventually(async () => (await resolver.resolveSoa(name)).nsname, `${server} knows ${name}`)
}

function zone(name: string, records: readonly string[]): string {
  return `$ORIGIN ${name}.
$TTL 60
@ SOA ns1 hostmaster 1 3600 600 86400 60
@ NS ns1
ns1 A 127.0.0.2
${records.join('\n')}
`
}

function knot(folder: string, port: number, zones: Readonly<Record<string, ZoneOptions>>): string {
  const list = Object.entries(zones)
    .map(([name, { isSigned }]) => `  - domain: ${name}\n    dnssec-signing: ${isSigned === true ? 'on' : 'off'}`)
    .join('\n')
  return `server:
  rundir: ${folder}
  listen: 127.0.0.2@${port}
  udp-workers: 1
  tcp-workers: 1
  background-workers: 1
database:
  storage: ${folder}/db
log:
  - target: stderr
    any: error
template:
  - id: default
    storage: ${folder}
    file: "%s.zone"
    zonefile-sync: -1
    journal-content: none
zone:
${list}
`
}

/** The DS record of a signed zone's key, or one that belongs to no key of it. */
function anchors(folder: string, zones: Readonly<Record<string, ZoneOptions>>): string[] {
  return Object.entries(zones).flatMap(([name, { isSigned, hasWrongAnchor }]) => {
    if (hasWrongAnchor === true) return [`${name}. DS 12345 13 2 ${'ab'.repeat(32)}`]
    if (isSigned !== true) return []
    const text = execFileSync('keymgr', ['-c', join(folder, 'knot.conf'), name, 'ds'], { encoding: 'utf8' })
    const [ds] = text.split('\n').filter((line) => / DS \d+ \d+ 2 /.test(line))
    if (ds === undefined) throw new Error(`Knot has no key of ${name}: ${text}`)
    return [ds]
  })
}

function delegation(name: string): string[] {
  return [`${name}. NS ns1.${name}.`, `ns1.${name}. A 127.0.0.2`]
}

/** A stub for each zone: Unbound would follow the delegations to port 53. */
function unbound(folder: string, port: number, knotPort: number, zones: Readonly<Record<string, ZoneOptions>>): string {
  const trusted = anchors(folder, zones)
  const stubs = Object.keys(zones).map((name) => `stub-zone:\n  name: "${name}."\n  stub-addr: 127.0.0.2@${knotPort}`)
  return `server:
  directory: "${folder}"
  chroot: ""
  username: ""
  pidfile: "${folder}/unbound.pid"
  use-syslog: no
  logfile: "${folder}/unbound.log"
  interface: 127.0.0.1@${port}
  num-threads: 1
  do-not-query-localhost: no
  do-ip6: no
  ede: yes
  module-config: "validator iterator"
  local-zone: "test." nodefault
${trusted.map((anchor) => `  trust-anchor: "${anchor}"`).join('\n')}
remote-control:
  control-enable: no
${stubs.join('\n')}
`
}
