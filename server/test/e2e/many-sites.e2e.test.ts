import { afterAll, beforeAll, expect, test } from 'vitest'
import { eventually } from '../stack.ts'
import { run, visit } from '../visit.ts'
import { addSite, loggedErrors, startWorld, type World } from '../world.ts'

/** 300 sites of 30 tenants on one IPv4 address and port, each with a certificate of its own. */
const TENANTS = 30
const SITES_EACH = 10
const BATCH = 10

let world: World
beforeAll(async () => {
  world = await startWorld()
})
afterAll(async () => {
  await world?.[Symbol.asyncDispose]()
})

type Wanted = { readonly name: string; readonly content: string }

/** One tenant: one TXT record proves its domain and all ten names below it. */
async function makeTenant(number: number): Promise<Wanted[]> {
  const { api, pebble } = world
  const domain = `tenant-${number}.test`
  const tenant = await api.post<{ id: string }>('/tenants', { name: `Tenant ${number}` })
  const claimed = await api.post<{ instructions: { type: string; name: string; value: string }[] }>('/domains', {
    name: domain,
    tenantId: tenant.id,
  })
  const record = claimed.instructions.find((instruction) => instruction.type === 'TXT')
  await pebble.setTxt(record?.name ?? '', record?.value ?? '')
  const wanted: Wanted[] = []
  for (let index = 0; index < SITES_EACH; index += 1) {
    const name = `site-${index}.${domain}`
    const content = `content of ${name}`
    const site = await addSite(api, tenant.id, name, { 'index.html': content })
    await api.post('/hostnames', { name, ...site }).catch((error: unknown) => {
      throw new Error(`${String(error)}\n${loggedErrors(world).join('\n')}`, { cause: error })
    })
    wanted.push({ name, content })
  }
  return wanted
}

async function liveCount(): Promise<number> {
  let cursor: string | null = null
  let count = 0
  do {
    const query: string = cursor === null ? '' : `&cursor=${cursor}`
    const page: { items: { live: boolean }[]; nextCursor: string | null } = await world.api.get(
      `/hostnames?limit=200${query}`,
    )
    count += page.items.filter((hostname) => hostname.live).length
    cursor = page.nextCursor
  } while (cursor !== null)
  return count
}

async function inBatches<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  for (let index = 0; index < items.length; index += BATCH)
    await Promise.all(items.slice(index, index + BATCH).map(work))
}

test('every one answers with its own certificate and content, over HTTP/1.1 and HTTP/2', {
  timeout: 600_000,
}, async () => {
  const wanted: Wanted[] = []
  const numbers = Array.from({ length: TENANTS }, (_, index) => index)
  await inBatches(numbers, async (number) => {
    wanted.push(...(await makeTenant(number)))
  })
  expect(loggedErrors(world)).toEqual([])
  await eventually(async () => (await liveCount()) === TENANTS * SITES_EACH, 'all names are live', 500_000)

  const fingerprints = new Set<string>()
  for (const protocol of ['http/1.1', 'h2'] as const) {
    await inBatches(wanted, async ({ name, content }) => {
      const seen = await visit({ port: world.stack.httpsPort, serverName: name, ca: world.root, protocol })
      expect(seen).toMatchObject({ status: 200, body: content, names: `DNS:${name}` })
      fingerprints.add(seen.fingerprint)
    })
  }
  expect(fingerprints.size).toBe(TENANTS * SITES_EACH)
  const { httpsPort } = world.stack
  const arguments_ = ['s_client', '-connect', `127.0.0.1:${httpsPort}`, '-noservername', '-brief']
  expect((await run('openssl', arguments_)).stderr).toMatch(/unrecognized name/i)
})
