import { existsSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ACCESS_LOG_SETTING } from '../../contract/access-log.ts'
import { OTHER_SITE, type TrafficField, trafficFields } from '../../contract/traffic.ts'
import { createTestAuthority } from '../../test/certificates.ts'
import { exchangeRaw, openRaw, readAll, request } from '../../test/http-requests.ts'
import {
  addressRecord,
  type ListenerRig,
  nameRecord,
  runtimes,
  siteRecord,
  startListenerRig,
} from '../../test/listener-rig.ts'

describe.each(runtimes)('what workers see of requests on %s', (runtime) => {
  let rig: ListenerRig
  beforeAll(async () => {
    const certificate = await (await createTestAuthority()).issue(['a.test', 'b.test', '127.0.0.2'])
    rig = await startListenerRig({ runtime })
    await rig.publish([
      rig.certificate(certificate),
      nameRecord('a.test', 'site-a', certificate),
      nameRecord('b.test', 'site-b', certificate),
      nameRecord('quiet.test', 'site-quiet', certificate),
      nameRecord('off.test', 'site-off', certificate),
      addressRecord('127.0.0.2', 'site-a', certificate),
      siteRecord('site-a', { manifest: rig.release({ 'index.html': 'hello' }) }),
      siteRecord('site-b', { manifest: rig.release({ 'index.html': 'hello' }) }),
      siteRecord('site-quiet', { manifest: rig.release({ 'index.html': 'hello' }), options: { accessLog: false } }),
      siteRecord('site-off', { state: 'suspended' }),
    ])
  })
  afterAll(() => rig.close())

  const file = (site: string) => join(rig.folder, 'logs/tenant', site, 'access.log')
  const lines = (site: string): string[] =>
    existsSync(file(site)) ? readFileSync(file(site), 'utf8').split('\n').slice(0, -1) : []
  const logged = async (site: string, mark: string) => {
    const find = () => lines(site).find((line) => line.includes(mark))
    await expect.poll(find, { timeout: 15_000 }).toBeDefined()
    return find() ?? ''
  }
  const total = (field: TrafficField): number => rig.observation.totals().counts[trafficFields.indexOf(field)] ?? 0
  const ask = (host: string, path: string, more: object = {}) =>
    request({ protocol: 'http/1.1', port: rig.httpsPort, serverName: 'a.test', host, path, ...more })

  test.each(['http/1.1', 'h2'] as const)(
    'a request over %s is one line with what its handshake agreed on',
    async (protocol) => {
      const path = `/?${protocol}`
      await ask('a.test', path, { protocol })
      const line = JSON.parse(await logged('site-a', JSON.stringify(path)))
      expect(line).toMatchObject({
        serverName: 'a.test',
        host: 'a.test',
        method: 'GET',
        protocol: protocol === 'h2' ? 'HTTP/2.0' : 'HTTP/1.1',
        status: 200,
        bytes: 5,
        tls: 'TLSv1.3',
        resumed: false,
        reason: null,
      })
      expect(line.cipher).toMatch(/AES|CHACHA/)
      expect(lines('site-a').filter((one) => one.includes(JSON.stringify(path)))).toHaveLength(1)
      expect(statSync(file('site-a')).mode & 0o777).toBe(0o640)
    },
  )

  test('421 is in the log of the site of the handshake, with its reason', async () => {
    await ask('b.test', '/elsewhere')
    expect(JSON.parse(await logged('site-a', '/elsewhere'))).toMatchObject({
      status: 421,
      serverName: 'a.test',
      host: 'b.test',
      reason: 'other-site',
    })
    await request({
      protocol: 'http/1.1',
      port: rig.httpsPort,
      address: '127.0.0.2',
      serverName: null,
      host: 'b.test',
      path: '/nameless',
    })
    expect(JSON.parse(await logged('site-a', '/nameless'))).toMatchObject({
      status: 421,
      serverName: null,
      reason: 'no-server-name',
    })
    await ask('nobody.test', '/stranger')
    expect(JSON.parse(await logged('site-a', '/stranger'))).toMatchObject({ status: 404, reason: 'unknown-host' })
    await ask('off.test', '/shut', { serverName: 'off.test' })
    expect(JSON.parse(await logged('site-off', '/shut'))).toMatchObject({ status: 503, reason: 'suspended' })
    expect(lines('site-b')).toEqual([])
  })

  test('the plain port, heads that cannot be read and clients that leave are logged too', async () => {
    await exchangeRaw({ port: rig.httpPort }, 'GET /plain HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n')
    expect(JSON.parse(await logged('site-a', '/plain'))).toMatchObject({ status: 301, tls: null, serverName: null })
    await exchangeRaw({ port: rig.httpsPort, serverName: 'a.test' }, 'BROKEN\r\n\r\n')
    expect(JSON.parse(await logged('site-a', 'bad-head'))).toMatchObject({ status: 400, method: '' })
    const socket = await openRaw({ port: rig.httpsPort, serverName: 'a.test' })
    socket.write('POST /left HTTP/1.1\r\nHost: a.test\r\nContent-Length: 10\r\n\r\nhalf')
    await readAll(socket, (text) => text.includes('\r\n\r\n')).catch(() => '')
    socket.destroy()
    await logged('site-a', '/left')
  })

  test('what clients send cannot make a line of its own', async () => {
    const evil = 'x"\\ \t\x85\xe9" 200 0'
    await exchangeRaw(
      { port: rig.httpsPort, serverName: 'a.test' },
      `GET /evil HTTP/1.1\r\nHost: a.test\r\nUser-Agent: ${evil}\r\nReferer: "\\\r\nConnection: close\r\n\r\n`,
    )
    const line = await logged('site-a', '/evil')
    expect(line).not.toMatch(/[^\x20-\x7e\xa0-\xff]/)
    expect(JSON.parse(line).referer).toBe('"\\')
  })

  test('a site that wants no log has none, and is counted', async () => {
    const before = total('requests')
    await ask('quiet.test', '/', { serverName: 'quiet.test' })
    await expect.poll(() => total('requests'), { timeout: 15_000 }).toBeGreaterThan(before)
    expect(lines('site-quiet')).toEqual([])
  })

  test('the combined format is written from the next line on when it is set', async () => {
    const value = { format: 'combined' }
    await rig.publish([{ kind: 'setting', key: ACCESS_LOG_SETTING, payload: { value } }])
    await ask('a.test', '/combined', { headers: { 'user-agent': 'say "hi"' } })
    const line = await logged('site-a', '/combined')
    expect(line).toMatch(
      /^127\.0\.0\.1 - - \[\d\d\/\w{3}\/\d{4}:\d\d:\d\d:\d\d \+0000\] "GET \/combined HTTP\/1\.1" 404 \d+ "-" "say \\x22hi\\x22" sni="a\.test" host="a\.test" tls="TLSv1\.3" cipher="[\w-]+" resumed="no" ms="\d+" reason="-"$/,
    )
    await rig.publish([{ kind: 'setting', key: ACCESS_LOG_SETTING, payload: null }])
  })

  test('counters add up: every request is in one class, one version of TLS and one of HTTP', async () => {
    await ask('a.test', '/last')
    await logged('site-a', '/last')
    const sum = (...fields: TrafficField[]) => fields.reduce((all, field) => all + total(field), 0)
    await expect
      .poll(() => total('requests') - sum('status1xx', 'status2xx', 'status3xx', 'status4xx', 'status5xx', 'aborted'))
      .toBe(0)
    expect(sum('plain', 'tls12', 'tls13')).toBe(total('requests'))
    expect(sum('http10', 'http11', 'http2')).toBe(total('requests'))
    await expect.poll(() => total('misdirected'), { timeout: 15_000 }).toBe(2)
    expect(total('withoutServerName')).toBe(1)
    await expect
      .poll(() => rig.observation.spool.next()?.rows.map((row) => row.siteId), { timeout: 15_000 })
      .toContain('site-a')
    expect(rig.observation.spool.next()?.rows.map((row) => row.siteId)).not.toContain(OTHER_SITE)
  })

  test('a worker that ends tells what it has seen before it goes', async () => {
    await using own = await startListenerRig({ runtime, records: () => [] })
    await exchangeRaw({ port: own.httpPort }, 'GET / HTTP/1.1\r\nHost: x.test\r\nConnection: close\r\n\r\n')
    await own.pool.drain()
    await expect.poll(() => own.observation.totals().counts[0], { timeout: 15_000 }).toBe(1)
  })
})
