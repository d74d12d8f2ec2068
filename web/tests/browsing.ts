import type { Page } from '@playwright/test'

/** Faults of the page itself: what a console shows as an error and what nobody caught. Refused calls are not faults. */
export function watchFaults(page: Page): readonly string[] {
  const faults: string[] = []
  page.on('pageerror', (error) => faults.push(`${page.url()}: ${error.message}`))
  page.on('console', (message) => {
    const isRefusedCall = message.text().startsWith('Failed to load resource')
    if (message.type() === 'error' && !isRefusedCall) faults.push(`${page.url()}: ${message.text()}`)
  })
  return faults
}

/** Signs in by the log-in page. */
export async function signInBy(page: Page, who: { email: string; password: string }): Promise<void> {
  await page.goto('/login')
  await page.getByLabel('E-mail').fill(who.email)
  await page.getByLabel('Password', { exact: true }).fill(who.password)
  await page.getByRole('button', { name: 'Sign in' }).click()
  await page.getByRole('heading', { name: 'Hostnames' }).waitFor()
}
