import { cpSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { embeddedDatabaseUrl } from '../../process/postgres.ts'
import { type ApiClient, signIn } from '../client.ts'
import { freePorts } from '../ports.ts'
import { admin, type Command, eventually, launch, startCommand } from '../stack.ts'
import { visit } from '../visit.ts'
import { addHostname, addSite, makeSite, type NewSite, startWorld, untilLive, type World } from '../world.ts'

/** docs/backup.md from end to end: a backup while everything runs, another machine, another master key. */
const KEPT = ['one.kept.test', 'two.kept.test'] as const
let world: World
let site: NewSite
let folder: string
let running: Command[] = []
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'nameplate-e2e-backup-'))
  world = await startWorld()
  site = await makeSite(world.api, 'kept', { 'index.html': 'kept', 'large.bin': Buffer.alloc(300_000, 'x') })
  for (const name of KEPT) await untilLive(world.api, (await addHostname(world, site, name)).id)
})
afterAll(async () => {
  await Promise.all(running.map((command) => command.end()))
  await world?.[Symbol.asyncDispose]()
  rmSync(folder, { recursive: true, force: true })
})

async function run(command: string, env: NodeJS.ProcessEnv): Promise<{ code: number | null; output: string }> {
  const started = launch(command, env)
  const code = await started.ended
  return { code, output: started.output() }
}

async function query<R extends object>(dataDir: string, sql: string): Promise<R[]> {
  const client = new pg.Client({ connectionString: embeddedDatabaseUrl(join(dataDir, 'postgres')) })
  await client.connect()
  try {
    return (await client.query<R>(sql)).rows
  } finally {
    await client.end()
  }
}

const ordersOf = async (dataDir: string): Promise<string[]> =>
  (await query<{ text: string }>(dataDir, 'select id::text as text from "order" order by id')).map(({ text }) => text)

function fingerprints(port: number): Promise<string[]> {
  const one = async (serverName: string): Promise<string> => {
    const seen = await visit({ port, serverName, ca: world.root })
    expect(seen.body).toBe('kept')
    return seen.fingerprint
  }
  return Promise.all(KEPT.map(one))
}

/** The first machine's environment with another data directory and other ports; the CA reaches port 80 where it did. */
async function otherMachine(dataDir: string): Promise<{ env: NodeJS.ProcessEnv; apiUrl: string; httpsPort: number }> {
  const [api = 0, httpsPort = 0, metrics = 0] = await freePorts(3)
  const env = {
    ...world.stack.env,
    NAMEPLATE_DATA_DIR: dataDir,
    NAMEPLATE_API_LISTEN: `127.0.0.1:${api}`,
    NAMEPLATE_HTTPS_LISTEN: `:${httpsPort}`,
    NAMEPLATE_METRICS_LISTEN: `127.0.0.1:${metrics}`,
  }
  return { env, apiUrl: `http://127.0.0.1:${api}/api/v1`, httpsPort }
}

async function signedInCookie(apiUrl: string): Promise<string> {
  const { email, password } = admin
  const response = await fetch(`${apiUrl}/auth/login`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ email, password }),
  })
  expect(response.status).toBe(200)
  return (response.headers.get('set-cookie') ?? '').split(';')[0] ?? ''
}

async function addLive(api: ApiClient, name: string): Promise<void> {
  await untilLive(api, (await addHostname({ ...world, api }, site, name)).id)
}

test('another machine serves as before and orders nothing, and its master key is changed while it runs and issues', async () => {
  const { stack, pebble } = world
  const before = await fingerprints(stack.httpsPort)
  const file = join(folder, 'backup.tar.zst')
  const backup = await run(`backup ${file}`, stack.env)
  expect(backup, backup.output).toMatchObject({ code: 0 })
  expect(backup.output).toContain(join(stack.dataDir, 'master.key'))
  expect(statSync(file).mode & 0o777).toBe(0o600)
  const orders = await ordersOf(stack.dataDir)

  // What comes after the backup is on the edge's disk, and is not part of what is restored.
  const later = await addSite(world.api, site.tenantId, 'later', { 'index.html': 'later' })
  await untilLive(world.api, (await addHostname(world, later, 'later.kept.test')).id)
  await Promise.all(stack.parents.map((parent) => parent.end()))
  const ordered = pebble.orderCount()

  const dataDir = join(folder, 'data')
  const { env, apiUrl, httpsPort } = await otherMachine(dataDir)
  cpSync(join(stack.dataDir, 'edge'), join(dataDir, 'edge'), { recursive: true })
  const key = join(stack.dataDir, 'master.key')

  const killed = await run(`restore ${file} --master-key ${key}`, { ...env, FAULT_POINT: 'restore.blobs' })
  expect(killed.code, killed.output).toBeNull()
  const refused = await run('start', env)
  expect(refused).toMatchObject({ code: 1 })
  expect(refused.output).toContain('a restore began here')
  const restored = await run(`restore ${file} --master-key ${key}`, env)
  expect(restored, restored.output).toMatchObject({ code: 0 })
  const again = await run(`restore ${file}`, env)
  expect(again.code).toBe(1)
  expect(again.output).toContain('never overwrites')

  running = [await startCommand('start', env)]
  expect(await fingerprints(httpsPort)).toEqual(before)
  const gone = (): Promise<string> =>
    visit({ port: httpsPort, serverName: 'later.kept.test' }).then(
      () => 'served',
      (error: Error) => error.message,
    )
  await expect.poll(gone, { timeout: 60_000 }).toMatch(/unrecognized.name/i)
  const edgeAtHead = async (): Promise<boolean> => {
    const rows = await query<{ same: boolean }>(
      dataDir,
      'select e.feed_id = i.feed_id and e.revision = i.revision as same from edge e, installation i',
    )
    return rows.some(({ same }) => same)
  }
  await eventually(edgeAtHead, 'the edge holds the new feed')
  expect(await fingerprints(httpsPort)).toEqual(before)
  expect(await ordersOf(dataDir)).toEqual(orders)
  expect(pebble.orderCount()).toBe(ordered)

  // Now the master key, while names are added.
  const api = await eventually(() => signIn(apiUrl), 'the sign-in on the new machine')
  const cookie = await signedInCookie(apiUrl)
  const oldKey = readFileSync(join(dataDir, 'master.key'))
  const names = Array.from({ length: 8 }, (_, index) => `n${index}.kept.test`)
  const made = await Promise.all(names.map((name) => addHostname({ ...world, api }, site, name)))
  const rekeyed = await run('rekey', env)
  expect(rekeyed, rekeyed.output).toMatchObject({ code: 0 })
  expect(readFileSync(join(dataDir, 'master.key.old'))).toEqual(oldKey)
  const refreshed = await fetch(`${apiUrl}/auth/refresh`, { method: 'POST', headers: { cookie } })
  expect(refreshed.status).toBe(200)
  const after = await eventually(() => signIn(apiUrl), 'signing in after the change')
  for (const { id } of made) await untilLive(after, id)
  await addLive(after, 'after.kept.test')
  expect(await fingerprints(httpsPort)).toEqual(before)
  expect(running[0]?.output()).not.toMatch(/does not open|UnsealError|MasterKeyError/)

  // A start with the new key, and an edge that takes everything anew, open all of it.
  await running[0]?.end()
  rmSync(join(dataDir, 'edge'), { recursive: true })
  running = [await startCommand('start', env)]
  const served = async (): Promise<boolean> => (await fingerprints(httpsPort)).join() === before.join()
  await eventually(served, 'the names are served with what was sealed anew')
  const live = await visit({ port: httpsPort, serverName: 'after.kept.test', ca: world.root })
  expect(live.body).toBe('kept')
})
