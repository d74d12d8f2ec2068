import { spawnSync } from 'node:child_process'
import { existsSync, rmSync, writeFileSync } from 'node:fs'

/** What only the tests need, and the Debian package that has it. Servers among them are started by their tests alone. */
const tools = [
  { binary: 'pebble', package: 'pebble', why: 'a real ACME server' },
  { binary: 'chromium', package: 'chromium', why: 'a real browser' },
  { binary: 'curl', package: 'curl', why: 'a real HTTP client' },
  { binary: 'openssl', package: 'openssl', why: 'a real TLS client' },
  { binary: 'nginx', package: 'nginx-light', why: 'a peer to compare with' },
  { binary: 'h2load', package: 'nghttp2-client', why: 'a real HTTP/2 load' },
  { binary: 'sslscan', package: 'sslscan', why: 'a scan of the listener' },
  { binary: 'gnutls-cli', package: 'gnutls-bin', why: 'a real TLS client' },
  { binary: 'tstclnt', package: 'libnss3-tools', why: 'a real TLS client' },
  { binary: 'python3', package: 'python3', why: 'a real TLS client' },
  { binary: 'go', package: 'golang-go', why: 'a real TLS client' },
  { binary: 'firefox-esr', package: 'firefox-esr', why: 'a real browser' },
  { binary: 'named', package: 'bind9', why: 'a real name server and resolver' },
  { binary: 'pdns_server', package: 'pdns-server', why: 'a real name server with an API' },
  { binary: 'pdnsutil', package: 'pdns-backend-sqlite3', why: 'what it keeps its zones in' },
  { binary: 'knotd', package: 'knot', why: 'a real name server that signs' },
  { binary: 'unbound', package: 'unbound', why: 'a real resolver that checks signatures' },
  { binary: 'docker-compose', package: 'docker-compose', why: 'reads docker-compose.yml' },
] as const

function has(binary: string): boolean {
  return (process.env.PATH ?? '').split(':').some((folder) => existsSync(`${folder}/${binary}`))
}

/**
 * Installs what is missing where that is possible (root on Debian), and says in one line what is not
 * there. The suites that need it fail then: a test that could not run has not passed.
 */
export function provideTestTools(): void {
  const missing = tools.filter((tool) => !has(tool.binary))
  if (missing.length === 0) return
  const packages = missing.map((tool) => tool.package)
  if (process.getuid?.() === 0 && has('apt-get')) {
    console.error(`nameplate: installing what the tests need: ${packages.join(', ')} …`)
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
    spawnSync('apt-get', ['update', '-q'], { stdio: 'ignore', env, timeout: 300_000 })
    const args = ['install', '-y', '-q', '--no-install-recommends', ...packages]
    const result = withoutStartingServers(() => spawnSync('apt-get', args, { env, encoding: 'utf8', timeout: 900_000 }))
    if (result.status !== 0) console.error(result.stderr)
  }
  const still = tools.filter((tool) => !has(tool.binary))
  if (still.length === 0) return
  const list = still.map((tool) => `${tool.package} (${tool.why})`).join(', ')
  console.error(`nameplate: missing: ${list}. Install them; until then the tests that need them fail.`)
}

/** Debian asks this program before it starts a service; 101 forbids it (invoke-rc.d(8)). One that is there stays. */
const POLICY = '/usr/sbin/policy-rc.d'

/** nginx would take ports 80 and 443 of a machine that wanted to run tests alone. */
function withoutStartingServers<T>(install: () => T): T {
  if (existsSync(POLICY)) return install()
  writeFileSync(POLICY, '#!/bin/sh\nexit 101\n', { mode: 0o755 })
  try {
    return install()
  } finally {
    rmSync(POLICY, { force: true })
  }
}
