import { expect, type Page, test } from '@playwright/test'
import { type Pebble, startPebble } from '../../server/test/pebble.ts'
import { freePorts } from '../../server/test/ports.ts'
import { type Stack, startStack } from '../../server/test/stack.ts'
import { visit } from '../../server/test/visit.ts'
import { archiveOf } from '../../server/test/world.ts'
import { signInBy, watchFaults } from './browsing.ts'

/** The whole main job, clicked: from the printed set-up link to a visitor who is served, with a real CA. */
const admin = { email: 'ada@nameplate.test', password: 'correct horse battery staple' }
const owner = { email: 'owner@bakerstreet.test', password: 'a first password' }
const NAME = 'www.bakerstreet.test'

let pebble: Pebble
let stack: Stack
let page: Page
let faults: readonly string[]

test.describe.configure({ mode: 'serial' })

test.beforeAll(async ({ browser }) => {
  const [httpPort = 0] = await freePorts(1)
  pebble = await startPebble({ nonceRejectPercent: 0, httpPort })
  stack = await startStack({
    httpPort,
    env: {
      NAMEPLATE_ADMIN_EMAIL: undefined,
      NAMEPLATE_ADMIN_PASSWORD: undefined,
      NAMEPLATE_ACME_DIRECTORY: pebble.directoryUrl,
      NAMEPLATE_ACME_CA_FILE: pebble.caFile,
      NAMEPLATE_ACME_TERMS_AGREED: 'true',
      NAMEPLATE_DNS_SERVERS: pebble.dnsServer,
    },
  })
  page = await browser.newPage({ baseURL: stack.uiUrl })
  faults = watchFaults(page)
})

test.afterAll(async () => {
  await page?.close()
  await stack?.[Symbol.asyncDispose]()
  await pebble?.[Symbol.asyncDispose]()
})

test('before set-up, the log-in page says what is missing', async () => {
  await page.goto('/')
  await expect(page).toHaveURL(/\/login$/)
  await expect(page.getByText('Nobody can sign in yet')).toBeVisible()
})

test('the set-up link makes the first administrator', async () => {
  await page.goto(stack.setupUrl() ?? '')
  await page.getByLabel('E-mail').fill(admin.email)
  await page.getByLabel('Password', { exact: true }).fill(admin.password)
  await page.getByLabel('Password again', { exact: true }).fill('something else, quite')
  await page.getByRole('button', { name: 'Create the administrator' }).click()
  await expect(page.getByText('The two passwords differ.')).toBeVisible()
  await page.getByLabel('Password again', { exact: true }).fill(admin.password)
  await page.getByRole('button', { name: 'Create the administrator' }).click()
  await expect(page.getByRole('heading', { name: 'Put your first name online' })).toBeVisible()
})

test('the set-up link works once', async ({ browser }) => {
  const stranger = await browser.newPage({ baseURL: stack.uiUrl })
  await stranger.goto(stack.setupUrl() ?? '')
  await stranger.getByLabel('E-mail').fill('mallory@nameplate.test')
  await stranger.getByLabel('Password', { exact: true }).fill(admin.password)
  await stranger.getByLabel('Password again', { exact: true }).fill(admin.password)
  await stranger.getByRole('button', { name: 'Create the administrator' }).click()
  await expect(stranger.getByRole('alert')).toContainText('not valid any more')
  await stranger.close()
})

test('the administrator makes a tenant and its owner', async () => {
  await page.getByRole('link', { name: 'Tenants' }).click()
  await page.getByRole('button', { name: 'New tenant' }).click()
  await page.getByRole('textbox', { name: 'Name' }).fill('Baker Street Books')
  await page.getByRole('button', { name: 'Make the tenant' }).click()
  await expect(page.getByRole('heading', { level: 1, name: 'Baker Street Books' })).toBeFocused()
  await page.getByRole('button', { name: 'Add a person' }).click()
  await page.getByLabel('E-mail').fill(owner.email)
  await page.getByLabel('Role', { exact: true }).selectOption('owner')
  await page.getByLabel('First password', { exact: true }).fill(owner.password)
  await page.getByRole('button', { name: 'Add', exact: true }).click()
  await expect(page.getByLabel(`Role of ${owner.email}`)).toHaveValue('owner')
})

test('signing out ends the session, and a wrong password is told', async () => {
  await page.getByRole('link', { name: admin.email }).click()
  await page.getByRole('button', { name: 'Sign out' }).click()
  await page.getByLabel('E-mail').fill(owner.email)
  await page.getByLabel('Password', { exact: true }).fill('not my password')
  await page.getByRole('button', { name: 'Sign in' }).click()
  await expect(page.getByRole('alert')).toContainText('E-mail or password is wrong')
  await signInBy(page, owner)
  await expect(page.getByRole('link', { name: 'Tenants' })).toHaveCount(0)
})

test('a name that cannot be served is refused at its field, and the new site is not made twice', async () => {
  await page.keyboard.press('n')
  await page.getByLabel('Name', { exact: true }).fill('co.uk')
  await page.getByLabel('Name of the site').fill('Shop')
  await page.getByRole('button', { name: 'Add the hostname' }).click()
  await expect(page.getByLabel('Name', { exact: true })).toHaveAccessibleDescription(/suffix under which everybody/)
  await expect(page.getByLabel('Site that it shows')).toContainText('Shop')
})

test('the owner adds the name and is shown the exact record', async () => {
  await page.getByLabel('Name', { exact: true }).fill(NAME)
  await page.getByRole('button', { name: 'Add the hostname' }).click()
  await expect(page.getByRole('heading', { level: 1, name: NAME })).toBeVisible()
  await expect(page.locator('[data-phase=proof]')).toHaveText(/Waiting for proof/)
  await expect(page.locator('[data-step=proven]')).toHaveAttribute('data-state', 'current')
})

test('it goes live by itself when the copied record is in the DNS', async ({ browserName }) => {
  expect(browserName).toBe('chromium')
  await page.context().grantPermissions(['clipboard-read', 'clipboard-write'])
  const copied = async (what: string): Promise<string> => {
    await page
      .getByRole('button', { name: `Copy ${what}`, exact: true })
      .first()
      .click()
    return page.evaluate<string>('navigator.clipboard.readText()')
  }
  expect(await copied('type')).toBe('TXT')
  await pebble.setTxt(await copied('name'), await copied('value'))
  await expect(page.locator('[data-phase=live]')).toBeVisible({ timeout: 90_000 })
  for (const step of ['claimed', 'proven', 'ordered', 'issued', 'served']) {
    await expect(page.locator(`[data-step=${step}]`)).toHaveAttribute('data-state', 'done')
  }
})

test('an upload is served at once, and the one before can be had again', async () => {
  await page.getByRole('link', { name: 'Shop' }).click()
  await upload('site.tar.gz', '<h1>First</h1>')
  await expect(page.getByText('Release 1 is uploaded and active.')).toBeVisible()
  await servesEventually('<h1>First</h1>')
  await drop('site.tar.gz', '<h1>Second</h1>')
  await expect(page.getByText('Release 2 is uploaded and active.')).toBeVisible()
  await servesEventually('<h1>Second</h1>')
  await page.getByRole('button', { name: 'Roll back to release 1' }).click()
  await servesEventually('<h1>First</h1>')
})

test('a broken archive is refused with a reason and changes nothing', async () => {
  const file = { name: 'site.zip', mimeType: 'application/zip', buffer: Buffer.from('not a zip at all') }
  await page.getByLabel('Archive to upload').setInputFiles(file)
  await expect(page.getByRole('alert')).toContainText('archive cannot be read')
  await servesEventually('<h1>First</h1>')
})

test('without a connection the page says so and offers to try again', async () => {
  await page.context().setOffline(true)
  await page.getByRole('link', { name: 'Hostnames', exact: true }).click()
  await expect(page.getByRole('alert')).toContainText('cannot be reached')
  await page.context().setOffline(false)
  await page.getByRole('button', { name: 'Try again' }).click()
  await expect(page.getByRole('link', { name: NAME })).toContainText('Live')
})

test('a name that the CA refuses tells why', async () => {
  await pebble.setServFail('broken.bakerstreet.test')
  await page.getByRole('link', { name: 'Add a hostname' }).click()
  await page.getByLabel('Name', { exact: true }).fill('broken.bakerstreet.test')
  await page.getByRole('button', { name: 'Add the hostname' }).click()
  await expect(page.locator('[data-phase=problem]')).toBeVisible({ timeout: 90_000 })
  await expect(page.getByRole('alert')).toContainText('failing')
  await expect(page.getByRole('button', { name: 'Try again now' })).toBeVisible()
})

test('a name is removed only after it was asked, and is served no more', async () => {
  await page.getByRole('navigation', { name: 'Main' }).getByRole('link', { name: 'Hostnames' }).click()
  await page.getByRole('link', { name: NAME }).click()
  await page.getByRole('button', { name: 'Remove' }).click()
  await page.keyboard.press('Escape')
  await expect(page.getByRole('dialog')).toHaveCount(0)
  await expect(page.getByRole('button', { name: 'Remove' })).toBeFocused()
  await page.getByRole('button', { name: 'Remove' }).click()
  await page.getByRole('button', { name: 'Remove the name' }).click()
  await expect(page.getByRole('heading', { level: 1, name: 'Hostnames' })).toBeVisible()
  await expect(page.getByRole('link', { name: NAME })).toHaveCount(0)
  await expect
    .poll(() =>
      visitor().then(
        () => 'served',
        () => 'refused',
      ),
    )
    .toBe('refused')
})

test('nothing went wrong inside the pages', () => {
  expect(faults).toEqual([])
})

async function upload(name: string, html: string): Promise<void> {
  const buffer = await archiveOf({ 'index.html': html })
  await page.getByLabel('Archive to upload').setInputFiles({ name, mimeType: 'application/gzip', buffer })
}

/** Drags an archive onto the field. */
async function drop(name: string, html: string): Promise<void> {
  const archive = (await archiveOf({ 'index.html': html })).toString('base64')
  const dataTransfer = await page.evaluateHandle(
    `(() => {
      const transfer = new DataTransfer()
      transfer.items.add(new File([Uint8Array.fromBase64('${archive}')], '${name}'))
      return transfer
    })()`,
  )
  const field = page.locator('fieldset', { hasText: 'Drop a .zip' })
  await field.dispatchEvent('dragover', { dataTransfer })
  await field.dispatchEvent('drop', { dataTransfer })
}

async function visitor(): Promise<string> {
  const ca = await pebble.rootPem()
  return (await visit({ port: stack.httpsPort, serverName: NAME, ca })).body
}

async function servesEventually(body: string): Promise<void> {
  await expect.poll(visitor).toBe(body)
}
