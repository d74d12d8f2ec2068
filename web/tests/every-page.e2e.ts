import { fileURLToPath } from 'node:url'
import AxeBuilder from '@axe-core/playwright'
import { expect, type Page, test } from '@playwright/test'
import { admin } from '../../server/test/stack.ts'
import { addHostname, addSite, startWorld, untilLive, type World } from '../../server/test/world.ts'
import { signInBy, watchFaults } from './browsing.ts'

/**
 * Every page, filled: nothing that axe finds in light or dark, and nothing cut off at 360 pixels.
 * With NAMEPLATE_SCREENSHOTS=1 it also takes the pictures of docs/screenshots.
 */
type Place = {
  readonly path: string
  readonly ready: string
  readonly picture?: string
  readonly act?: (page: Page) => Promise<void>
}

const pictures = fileURLToPath(new URL('../../docs/screenshots/', import.meta.url))
const press = (name: string) => (page: Page) => page.getByRole('button', { name, exact: true }).click()

let world: World
let page: Page
let faults: readonly string[]
let ids: Record<'live' | 'waiting' | 'site' | 'proxy' | 'tenant' | 'certificate', string>

test.describe.configure({ mode: 'serial' })

test.beforeAll(async ({ browser }) => {
  world = await startWorld()
  ids = await fill()
  page = await (await browser.newContext({ baseURL: world.stack.uiUrl })).newPage()
  faults = watchFaults(page)
})

test.afterAll(async () => {
  await page?.close()
  await world?.[Symbol.asyncDispose]()
})

/** An installation as it looks in use. */
async function fill(): Promise<typeof ids> {
  const { api } = world
  const tenant = await api.post<{ id: string }>('/tenants', { name: 'Baker Street Books' })
  await api.post('/tenants', { name: 'Zoë’s Garden' })
  await api.post('/users', {
    email: 'owner@bakerstreet.test',
    memberships: [{ tenantId: tenant.id, role: 'owner' }],
  })
  const shop = await addSite(api, tenant.id, 'Shop', { 'index.html': '<h1>Baker Street Books</h1>' })
  const proxy = await api.post<{ id: string }>('/sites', {
    name: 'App',
    tenantId: tenant.id,
    kind: 'proxy',
    upstreams: [{ url: 'http://127.0.0.1:8081' }],
  })
  await api.patch('/settings', {
    publicAddresses: ['203.0.113.10', '2001:db8::10'],
    cnameTarget: 'edge.nameplate.test',
  })
  await api.post('/addresses', { range: '127.0.0.2-127.0.0.3', use: 'dedicated' })
  const [live, waiting] = [
    await addHostname(world, shop, 'www.bakerstreet.test'),
    await api.post<{ id: string }>('/hostnames', { name: 'bücher.test', siteId: shop.siteId, tenantId: tenant.id }),
  ]
  await addHostname(world, { ...shop, siteId: proxy.id }, 'app.bakerstreet.test')
  await world.pebble.setServFail('old.bakerstreet.test')
  await addHostname(world, shop, 'old.bakerstreet.test')
  const { certificate } = await untilLive(api, live.id)
  return {
    live: live.id,
    waiting: waiting.id,
    site: shop.siteId,
    proxy: proxy.id,
    tenant: tenant.id,
    certificate: certificate.id ?? '',
  }
}

function places(): Place[] {
  return [
    { path: '/hostnames', ready: 'www.bakerstreet.test', picture: 'hostnames' },
    { path: '/hostnames/new', ready: 'Skip the proof' },
    { path: `/hostnames/${ids.waiting}`, ready: 'Other ways to prove it', picture: 'proof' },
    { path: `/hostnames/${ids.live}`, ready: 'Served by the edges', picture: 'live', act: press('Look for problems') },
    { path: `/hostnames/${ids.live}`, ready: 'Remove the name', act: press('Remove') },
    { path: '/sites', ready: 'Shop' },
    { path: '/sites/new', ready: 'What it serves' },
    { path: `/sites/${ids.site}`, ready: 'Release 1', picture: 'site' },
    { path: `/sites/${ids.proxy}`, ready: 'Address of the server', act: press('Edit') },
    { path: '/certificates', ready: 'www.bakerstreet.test' },
    { path: `/certificates/${ids.certificate}`, ready: 'Order fulfilled' },
    { path: '/admin/tenants', ready: 'Zoë’s Garden' },
    { path: '/admin/tenants', ready: 'Make the tenant', act: press('New tenant') },
    { path: `/admin/tenants/${ids.tenant}`, ready: 'owner@bakerstreet.test' },
    { path: `/admin/tenants/${ids.tenant}`, ready: 'First password', act: press('Add a person') },
    { path: '/admin/addresses', ready: '127.0.0.3' },
    { path: '/admin/addresses', ready: 'Address, block or range', act: press('Add addresses') },
    { path: '/admin/addresses', ready: 'Find a site', act: press('Allocate 127.0.0.2') },
    { path: '/admin/issuers', ready: 'In use' },
    { path: '/admin/issuers', ready: 'I agree to the terms', act: press('Add an issuer') },
    { path: '/admin/settings', ready: 'CNAME target' },
    { path: '/account', ready: 'Change the password' },
    { path: '/no-such-page', ready: 'There is no such page' },
  ]
}

async function inspect(place: Place): Promise<void> {
  await page.setViewportSize({ width: 1280, height: 800 })
  await page.goto(place.path)
  await place.act?.(page)
  await page.getByText(place.ready).filter({ visible: true }).first().waitFor()
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' })
    const found = await new AxeBuilder({ page })
      .withTags(['wcag2a', 'wcag2aa', 'wcag21aa', 'wcag22aa', 'best-practice'])
      .analyze()
    const problems = found.violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' | ')}`)
    expect.soft(problems, `${place.path} (${place.ready}) in ${colorScheme}`).toEqual([])
    await takePicture(place, colorScheme)
  }
  await page.setViewportSize({ width: 360, height: 740 })
  const overflow = await page.evaluate<number>(
    'document.documentElement.scrollWidth - document.documentElement.clientWidth',
  )
  expect.soft(overflow, `${place.path} (${place.ready}) is cut off at 360 pixels`).toBeLessThanOrEqual(0)
}

async function takePicture({ picture }: Place, colorScheme: 'light' | 'dark'): Promise<void> {
  if (picture === undefined || process.env['NAMEPLATE_SCREENSHOTS'] === undefined) return
  const suffix = colorScheme === 'dark' ? '-dark' : ''
  await page.screenshot({ path: `${pictures}${picture}${suffix}.png` })
  if (colorScheme === 'dark') return
  await page.setViewportSize({ width: 390, height: 844 })
  await page.screenshot({ path: `${pictures}${picture}-phone.png` })
  await page.setViewportSize({ width: 1280, height: 800 })
}

test('the pages of guests', async () => {
  await inspect({ path: '/login', ready: 'Sign in' })
  await inspect({ path: '/setup', ready: 'The link is not complete' })
  await inspect({ path: '/setup#0123456789', ready: 'Password again' })
})

test('signing in leads to where one wanted to go, but never elsewhere', async () => {
  await page.goto('/certificates')
  await expect(page).toHaveURL(/\/login\?next=%2Fcertificates$/)
  await page.goto('/login?next=//elsewhere.test/')
  await page.getByLabel('E-mail').fill(admin.email)
  await page.getByLabel('Password', { exact: true }).fill(admin.password)
  await page.getByRole('button', { name: 'Sign in' }).click()
  await expect(page).toHaveURL(`${world.stack.uiUrl}/hostnames`)
})

test('every page is accessible, in light and dark, and fits a small phone', async () => {
  test.setTimeout(600_000)
  for (const place of places()) await inspect(place)
})

test('a page that is loaded anew is signed in by the cookie', async () => {
  await page.setViewportSize({ width: 1280, height: 800 })
  await page.goto('/sites')
  await page.reload()
  await expect(page.getByRole('link', { name: /Shop/ })).toBeVisible()
})

test('the keyboard reaches the content, adds a name and searches', async () => {
  await page.goto('/hostnames')
  await page.getByRole('link', { name: /www\.bakerstreet\.test/ }).waitFor()
  await page.keyboard.press('Tab')
  await expect(page.getByRole('link', { name: 'Skip to the content' })).toBeFocused()
  await page.keyboard.press('/')
  await page.keyboard.type('app.')
  await expect(page.getByRole('link', { name: /app\.bakerstreet\.test/ })).toBeVisible()
  await expect(page.getByRole('link', { name: /www\.bakerstreet\.test/ })).toHaveCount(0)
  await page.keyboard.press('Tab')
  await page.keyboard.press('n')
  await expect(page).toHaveURL(/\/hostnames\/new$/)
})

test('what somebody else changes appears by itself, from the event stream', async () => {
  const stream = page.waitForResponse((response) => response.url().endsWith('/api/v1/events'))
  await page.goto('/sites')
  expect((await stream).headers()['content-type']).toContain('text/event-stream')
  await page.getByRole('link', { name: /Shop/ }).waitFor()
  const site = { name: 'Made elsewhere', tenantId: ids.tenant, kind: 'redirect', redirectTo: 'https://example.com/' }
  await world.api.post('/sites', site)
  await expect(page.getByRole('link', { name: /Made elsewhere/ })).toBeVisible()
})

test('the lists follow the chosen tenant', async () => {
  await page.goto('/sites')
  await page.getByLabel('Tenant').selectOption('Zoë’s Garden')
  await expect(page.getByRole('heading', { name: 'No sites yet' })).toBeVisible()
  await page.getByLabel('Tenant').selectOption('All tenants')
  await expect(page.getByRole('link', { name: /Shop/ })).toBeVisible()
})

test('a chosen theme stays, whatever the device says', async () => {
  await page.goto('/account')
  await page.getByRole('radio', { name: 'Dark' }).check()
  await page.emulateMedia({ colorScheme: 'light' })
  await page.reload()
  await page.getByRole('heading', { name: 'Account' }).waitFor()
  expect(await page.evaluate<string>('getComputedStyle(document.documentElement).colorScheme')).toBe('dark')
  await page.getByRole('radio', { name: 'As the device' }).check()
})

test('a viewer looks and is offered nothing that changes', async ({ browser }) => {
  const viewer = { email: 'viewer@bakerstreet.test', password: 'only for looking' }
  await world.api.post('/users', { ...viewer, memberships: [{ tenantId: ids.tenant, role: 'viewer' }] })
  const other = await browser.newPage({ baseURL: world.stack.uiUrl })
  await signInBy(other, viewer)
  await other.getByRole('link', { name: /www\.bakerstreet\.test/ }).click()
  await expect(other.locator('[data-phase=live]')).toBeVisible()
  await expect(other.getByRole('button', { name: 'Remove' })).toHaveCount(0)
  await expect(other.getByRole('link', { name: 'Addresses' })).toHaveCount(0)
  await other.goto('/admin/addresses')
  await expect(other.getByRole('alert')).toContainText('for administrators')
  await other.close()
})

test('nothing went wrong inside the pages', () => {
  expect(faults).toEqual([])
})
