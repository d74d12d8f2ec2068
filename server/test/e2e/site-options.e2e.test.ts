import { afterAll, beforeAll, expect, test } from 'vitest'
import { request } from '../http-requests.ts'
import { addHostname, makeSite, type NewSite, startWorld, untilLive, type World } from '../world.ts'

/** What a tenant sets by API is how the next request is answered. */
const host = 'options.test'
let world: World
let site: NewSite

beforeAll(async () => {
  world = await startWorld()
  site = await makeSite(world.api, 'Options', { 'index.html': 'hello' })
  await untilLive(world.api, (await addHostname(world, site, host)).id)
})
afterAll(() => world?.[Symbol.asyncDispose]())

const field = async (name: string, path = '/'): Promise<unknown> =>
  (await request({ port: world.stack.httpsPort, host, path })).headers[name]
const set = (options: object): Promise<unknown> => world.api.patch(`/sites/${site.siteId}`, { options })

test('HSTS is sent once it is set, changed with the setting, and gone without it', async () => {
  expect(await field('strict-transport-security')).toBeUndefined()
  await set({ hsts: { maxAgeSeconds: 300 } })
  await expect.poll(() => field('strict-transport-security'), { timeout: 30_000 }).toBe('max-age=300')
  await set({ hsts: { maxAgeSeconds: 31_536_000, includeSubDomains: true, preload: true } })
  await expect
    .poll(() => field('strict-transport-security'), { timeout: 30_000 })
    .toBe('max-age=31536000; includeSubDomains; preload')
  await set({ hsts: null })
  await expect.poll(() => field('strict-transport-security'), { timeout: 30_000 }).toBeUndefined()
})

test('basic authentication lets in whom the API was told of, and a redirect leads to no other host', async () => {
  const users = [{ name: 'ann', password: 'correct horse' }]
  const redirects = [{ path: '/old/*', to: '/*' }]
  await set({ basicAuth: { realm: 'Staff', paths: ['/*'], users }, redirects })
  const status = async (credentials?: string): Promise<number> => {
    const authorization = `Basic ${Buffer.from(credentials ?? '').toString('base64')}`
    const headers = credentials === undefined ? {} : { authorization }
    return (await request({ port: world.stack.httpsPort, host, headers })).status
  }
  await expect.poll(() => status(), { timeout: 30_000 }).toBe(401)
  expect(await status('ann:wrong')).toBe(401)
  expect(await status('ann:correct horse')).toBe(200)
  await set({ basicAuth: null })
  await expect.poll(() => status(), { timeout: 30_000 }).toBe(200)
  const location = String(await field('location', '/old//evil.example/'))
  expect(new URL(location, `https://${host}/`).hostname).toBe(host)
})
