import { type Browser, chromium } from '@playwright/test'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { trafficFields } from '../../contract/traffic.ts'
import { browserHome } from '../browser-profile.ts'
import { createTestAuthority, type TestAuthority } from '../certificates.ts'
import { type Firefox, startFirefox } from '../firefox.ts'
import { type ListenerRig, nameRecord, runtimes, siteRecord, startListenerRig } from '../listener-rig.ts'

/** Two sites behind one wildcard certificate, so that a browser takes the connection of one for the other too. */
const first = 'one.wild.example.com'
const second = 'two.wild.example.com'
const NEXT_HOP = "performance.getEntriesByType('navigation')[0].nextHopProtocol"
const SHOWN = `return [document.body.textContent, ${NEXT_HOP}]`

let authority: TestAuthority
/** One of each for both runtimes: they take long to start. */
const started = new Map<'http1' | 'http2', Firefox>()
beforeAll(async () => {
  authority = await createTestAuthority()
  const hosts = [first, second, 'nobody.example.com']
  const start = async (protocol: 'http1' | 'http2'): Promise<void> => {
    const options = { caPem: authority.caPem, hosts, http2: protocol === 'http2' }
    started.set(protocol, await startFirefox(options))
  }
  await Promise.all([start('http1'), start('http2')])
})
afterAll(async () => {
  for (const one of started.values()) await one[Symbol.asyncDispose]()
})

function firefox(protocol: 'http1' | 'http2'): Firefox {
  const one = started.get(protocol)
  if (one === undefined) throw new Error('Firefox did not start')
  return one
}

describe.each(runtimes)('browsers on %s', (runtime) => {
  let rig: ListenerRig
  beforeAll(async () => {
    const wildcard = await authority.issue(['*.wild.example.com'])
    rig = await startListenerRig({
      runtime,
      records: ({ certificate, release }) => [
        certificate(wildcard),
        nameRecord(first, 'first', wildcard),
        nameRecord(second, 'second', wildcard),
        siteRecord('first', { manifest: release({ 'index.html': `page of ${first}` }) }),
        siteRecord('second', { manifest: release({ 'index.html': `page of ${second}` }) }),
      ],
    })
  })
  afterAll(() => rig?.close())
  const url = (host: string) => `https://${host}:${rig.httpsPort}/`
  const misdirected = (): number => rig.observation.totals().counts[trafficFields.indexOf('misdirected')] ?? 0

  test('Firefox over HTTP/1.1', async () => {
    const browser = firefox('http1')
    for (const host of [first, second]) {
      await browser.open(url(host))
      expect(await browser.evaluate(SHOWN)).toEqual([`page of ${host}`, 'http/1.1'])
    }
    await expect(browser.open(url('nobody.example.com'))).rejects.toThrow(/neterror/i)
  })

  test('Firefox over HTTP/2, where a page of the other site comes although its connection was not for it', async () => {
    const browser = firefox('http2')
    for (const host of [first, second]) {
      await browser.open(url(host))
      expect(await browser.evaluate(SHOWN)).toEqual([`page of ${host}`, 'h2'])
    }
  })

  test('Chromium asks anew on a connection of its own after 421 on one that it had coalesced', async () => {
    using home = await browserHome(authority.caPem, '.pki/nssdb')
    const before = misdirected()
    const browser: Browser = await chromium.launch({
      executablePath: process.env.CHROMIUM_PATH ?? '/usr/bin/chromium',
      args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--host-resolver-rules=MAP * 127.0.0.1'],
      env: { PATH: process.env.PATH ?? '', HOME: home.path },
    })
    try {
      const page = await browser.newPage()
      for (const host of [first, second]) {
        const response = await page.goto(url(host))
        expect([response?.status(), await page.textContent('body')]).toEqual([200, `page of ${host}`])
        expect(await page.evaluate(NEXT_HOP)).toBe('h2')
      }
      await expect.poll(() => misdirected() - before, { timeout: 15_000 }).toBeGreaterThan(0)
    } finally {
      await browser.close()
    }
  }, 120_000)
})
