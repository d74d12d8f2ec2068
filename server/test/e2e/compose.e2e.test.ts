import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { readSettings } from '../../process/settings.ts'

/** No engine runs here: what docker-compose makes of the file is read, and our settings read that. */
const root = fileURLToPath(new URL('../../..', import.meta.url))
const readme = readFileSync(new URL('../../../README.md', import.meta.url), 'utf8')

/** A value for each documented setting; a new one must get a value here and a way into a service. */
const values: Readonly<Record<string, string>> = {
  DATABASE_URL: 'postgresql://u:p%2Fw@db.example.net:5432/panel?sslmode=verify-full',
  NAMEPLATE_API_LISTEN: '127.0.0.1:3100',
  NAMEPLATE_HTTPS_LISTEN: '192.0.2.1:443,[2001:db8::1]:443',
  NAMEPLATE_HTTP_LISTEN: '192.0.2.1:80',
  NAMEPLATE_PANEL_HOSTNAME: 'panel.example.net',
  NAMEPLATE_MASTER_KEY_FILE: '/etc/nameplate/master.key',
  NAMEPLATE_WORKERS: '4',
  NAMEPLATE_LISTENER_RUNTIME: 'node',
  NAMEPLATE_LOG_LEVEL: 'debug',
  NAMEPLATE_DNS_SERVERS: '192.0.2.53:53',
  NAMEPLATE_OUTBOUND_ALLOW: '10.0.0.0/8',
  NAMEPLATE_PROXY_PROTOCOL_FROM: '192.0.2.0/24',
  NAMEPLATE_ADMIN_EMAIL: 'admin@example.net',
  NAMEPLATE_ADMIN_PASSWORD: 'pass "word" with \\ and #',
  NAMEPLATE_ACME_DIRECTORY: 'https://ca.example.net/directory?a=1',
  NAMEPLATE_ACME_TERMS_AGREED: 'true',
  NAMEPLATE_ACME_CA_FILE: '/etc/nameplate/ca.pem',
  NAMEPLATE_ACME_EMAIL: 'ops@example.net',
  NAMEPLATE_ACME_PROFILE: 'shortlived',
  NAMEPLATE_ACME_EAB_KID: 'kid-1',
  NAMEPLATE_ACME_EAB_HMAC_KEY: 'zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W',
}
/** What the image or the file itself fixes, or what one user in a container has no use for. */
const fixed = [
  'NAMEPLATE_DATA_DIR',
  'NAMEPLATE_LINK_SOCKET',
  'NAMEPLATE_LINK_GROUP',
  'NAMEPLATE_USER',
  'NAMEPLATE_METRICS_LISTEN',
]

type Service = { environment: Record<string, string>; network_mode?: string; healthcheck: { test: string[] } }
type Composed = { services: Record<'postgres' | 'control' | 'listener', Service> }

/** `docker-compose config` with nothing of our own environment. Rejects with what it said. */
async function composed(env: Record<string, string>): Promise<Composed> {
  const args = ['-f', 'docker-compose.yml', '--project-directory', root, 'config']
  const options = { cwd: root, env: { PATH: process.env.PATH, HOME: '/nonexistent', ...env }, timeout: 60_000 }
  const { stdout, stderr } = await promisify(execFile)('docker-compose', args, options)
  expect(stderr).toBe('')
  // docker-compose is a program for this Python, which therefore has YAML.
  const asJson = 'import json,sys,yaml; json.dump(yaml.safe_load(sys.stdin), sys.stdout)'
  const child = promisify(execFile)('/usr/bin/python3', ['-c', asJson], { timeout: 60_000 })
  child.child.stdin?.end(stdout)
  return JSON.parse((await child).stdout) as Composed
}

/** Runs a health check's program with the service's environment; true when it exits with 0. */
async function isHealthy(service: Service): Promise<boolean> {
  const [, , ...args] = service.healthcheck.test
  const env = { PATH: process.env.PATH, ...service.environment }
  return promisify(execFile)(process.execPath, args, { env, timeout: 60_000 }).then(
    () => true,
    () => false,
  )
}

test('every documented setting has a value here or is fixed', () => {
  const documented = new Set(readme.match(/\bNAMEPLATE_[A-Z_]+[A-Z]\b/g))
  expect([...documented].filter((name) => !(name in values) && !fixed.includes(name))).toEqual([])
})

test('a password alone is enough, and each service gets settings that it can start with', async () => {
  const { services } = await composed({ POSTGRES_PASSWORD: 'x' })
  const control = readSettings(services.control.environment)
  expect(control).toMatchObject({ apiListen: { address: '127.0.0.1', port: 3000 }, panelHostname: null })
  const database = new URL(control.databaseUrl ?? '')
  expect(database.searchParams.get('host')).toBe('/run/postgresql')
  const listener = readSettings(services.listener.environment)
  expect(listener).toMatchObject({ httpsListen: null, httpListen: null, linkSocket: control.linkSocket })
  expect([services.control.network_mode, services.listener.network_mode]).toEqual(['host', 'host'])
})

test('every documented setting reaches the service that reads it, unchanged', async () => {
  const { services } = await composed({ POSTGRES_PASSWORD: 'x', ...values })
  const reached = { ...services.listener.environment, ...services.control.environment }
  expect(reached).toMatchObject(values)
  for (const name of ['NAMEPLATE_OUTBOUND_ALLOW', 'NAMEPLATE_LOG_LEVEL'])
    expect(services.listener.environment[name]).toBe(services.control.environment[name])
  expect(() => readSettings(services.control.environment)).not.toThrow()
  expect(() => readSettings(services.listener.environment)).not.toThrow()
})

test('without a password it says which variable to set', async () => {
  await expect(composed({})).rejects.toThrow(/set POSTGRES_PASSWORD in \.env/)
})

test('the health checks tell a service that answers from one that does not', async () => {
  const server = createServer((request, response) => {
    response.writeHead(request.url === '/api/v1/health' ? 200 : 404).end()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  const { services } = await composed({
    POSTGRES_PASSWORD: 'x',
    NAMEPLATE_API_LISTEN: `127.0.0.1:${port}`,
    NAMEPLATE_HTTP_LISTEN: `127.0.0.1:${port},[::1]:${port}`,
  })
  expect(await isHealthy(services.control)).toBe(true)
  expect(await isHealthy(services.listener)).toBe(true)
  await new Promise((resolve) => server.close(resolve))
  expect(await isHealthy(services.control)).toBe(false)
  expect(await isHealthy(services.listener)).toBe(false)
})
