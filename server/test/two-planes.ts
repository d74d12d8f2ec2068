import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { apiClient, signIn } from './client.ts'
import { createTestDatabase } from './database.ts'
import { startPebble } from './pebble.ts'
import { freePorts } from './ports.ts'
import { descendants } from './process-tree.ts'
import { type Command, eventually, startCommand, startStack } from './stack.ts'
import { makeSite, type NewSite } from './world.ts'

/** What came of it. */
export type TwoPlanesResult = {
  readonly names: number
  readonly kills: number
  /** Orders and certificates by Pebble's own log. */
  readonly orders: number
  readonly issued: number
  readonly minutes: number
}

/**
 * Two control planes on one database, one of them killed by SIGKILL every few seconds, while names are added
 * all the time; ends when every name has its certificate.
 */
export async function orderOnTwoPlanes(run: {
  readonly names: number
  readonly minutes: number
}): Promise<TwoPlanesResult> {
  await using stack = new AsyncDisposableStack()
  const database = stack.use(await createTestDatabase())
  const [httpPort = 0, api = 0, metrics = 0] = await freePorts(3)
  const pebble = stack.use(await startPebble({ httpPort, nonceRejectPercent: 5 }))
  const env = {
    DATABASE_URL: database.url,
    NAMEPLATE_ACME_DIRECTORY: pebble.directoryUrl,
    NAMEPLATE_ACME_CA_FILE: pebble.caFile,
    NAMEPLATE_ACME_TERMS_AGREED: 'true',
    NAMEPLATE_DNS_SERVERS: pebble.dnsServer,
  }
  const first = stack.use(await startStack({ env, httpPort, commands: ['control', 'listener'] }))
  const dataDir = mkdtempSync(join(tmpdir(), 'nameplate-second-'))
  stack.defer(() => rmSync(dataDir, { recursive: true, force: true }))
  const second = await startCommand('control', {
    ...first.env,
    NAMEPLATE_DATA_DIR: dataDir,
    NAMEPLATE_MASTER_KEY_FILE: join(first.dataDir, 'master.key'),
    NAMEPLATE_API_LISTEN: `127.0.0.1:${api}`,
    NAMEPLATE_METRICS_LISTEN: `127.0.0.1:${metrics}`,
  })
  stack.defer(() => second.end())

  const urls = [first.apiUrl, `http://127.0.0.1:${api}/api/v1`]
  const { token } = await again(() => signIn(first.apiUrl))
  const site = await makeSite(apiClient(first.apiUrl, token), 'Two planes', { 'index.html': 'x' })
  const started = Date.now()
  const killer = killAtRandom([first.parents[0], second].filter((parent) => parent !== undefined))
  stack.defer(() => killer.stop())
  await addSlowly({ urls, token, site }, run)
  await sleep(Math.max(0, run.minutes * 60_000 - (Date.now() - started)))
  await killer.stop()
  const isDone = async (): Promise<boolean> =>
    (await database.db.certificate.count({ where: { state: 'valid' } })) >= run.names
  await eventually(isDone, 'every name has its certificate', 300_000)
  return {
    names: await database.db.certificate.count(),
    kills: killer.kills(),
    orders: pebble.orderCount(),
    issued: pebble.log().match(/Issued certificate serial/g)?.length ?? 0,
    minutes: Math.round((Date.now() - started) / 6_000) / 10,
  }
}

/** One name after the other over the whole time, at either control plane, again until one has taken it. */
async function addSlowly(
  { urls, token, site }: { readonly urls: readonly string[]; readonly token: string; readonly site: NewSite },
  run: { readonly names: number; readonly minutes: number },
): Promise<void> {
  const { tenantId, siteId } = site
  for (let index = 0; index < run.names; index += 1) {
    const name = `n${index}.planes.test`
    await again(async (attempt) => {
      const client = apiClient(urls[(index + attempt) % urls.length] ?? '', token)
      await client.post('/hostnames', { name, siteId, tenantId, ownership: 'trusted' }).catch((error: unknown) => {
        if (!String(error).includes('NAME_EXISTS')) throw error
      })
    })
    await sleep((run.minutes * 60_000 * 0.9) / run.names)
  }
}

async function again<T>(work: (attempt: number) => Promise<T>): Promise<T> {
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await work(attempt)
    } catch (error) {
      if (attempt > 1_200) throw error
      await sleep(150)
    }
  }
}

function killAtRandom(parents: readonly Command[]) {
  let kills = 0
  let isStopped = false
  const running = (async () => {
    while (!isStopped) {
      await sleep(4_000 + Math.random() * 5_000)
      const parent = parents[Math.floor(Math.random() * parents.length)]
      const child = descendants(parent?.pid ?? 0).find(({ command }) => command.includes('server/control.ts'))
      if (isStopped || child === undefined) continue
      process.kill(child.pid, 'SIGKILL')
      kills += 1
    }
  })()
  return {
    kills: () => kills,
    stop(): Promise<void> {
      isStopped = true
      return running
    },
  }
}
