import { Validator } from '@seriousme/openapi-schema-validator'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { CertificateView } from '../../control/certificates/schema.ts'
import { signIn } from '../client.ts'
import { run, visit } from '../visit.ts'
import { addHostname, addSite, archiveOf, makeSite, startWorld, untilLive, type World } from '../world.ts'

/** The whole main job against a real CA: from a tenant to a visitor who is served over TLS. */
let world: World
beforeAll(async () => {
  world = await startWorld()
})
afterAll(async () => {
  await world?.[Symbol.asyncDispose]()
})

describe('a tenant takes a domain live by REST', () => {
  test('tenant, user, site, release, hostname, TXT proof, certificate by http-01, and curl gets the bytes', async () => {
    const admin = world.api
    const tenant = await admin.post<{ id: string }>('/tenants', { name: 'First Customer' })
    const who = { email: 'owner@first.test', password: 'a long enough password' }
    await admin.post('/users', { ...who, memberships: [{ tenantId: tenant.id, role: 'owner' }] })
    const owner = await signIn(world.stack.apiUrl, who)
    const site = await owner.post<{ id: string }>('/sites', { name: 'Shop', kind: 'static' })
    await owner.upload(
      `/sites/${site.id}/releases`,
      'application/gzip',
      await archiveOf({ 'index.html': '<h1>The shop</h1>' }),
    )

    const created = await addHostname(
      { ...world, api: owner },
      { tenantId: tenant.id, siteId: site.id },
      'www.shop.test',
    )
    expect(created.ownership.state).toBe('pending')
    const live = await untilLive(owner, created.id)
    expect(live).toMatchObject({ ownership: { state: 'verified' }, certificate: { state: 'valid' } })

    const url = `https://www.shop.test:${world.stack.httpsPort}/`
    const resolve = `www.shop.test:${world.stack.httpsPort}:127.0.0.1`
    const args = [
      '-sS',
      '--cacert',
      world.rootFile,
      '--resolve',
      resolve,
      '--tlsv1.3',
      '-w',
      ' %{http_version} %{ssl_verify_result}',
    ]
    expect(await run('curl', [...args, '--http1.1', url])).toMatchObject({ stdout: '<h1>The shop</h1> 1.1 0', code: 0 })
    expect(await run('curl', [...args, '--http2', url])).toMatchObject({ stdout: '<h1>The shop</h1> 2 0', code: 0 })

    const certificate = await owner.get<CertificateView>(`/certificates/${live.certificate.id}`)
    const seen = await visit({ port: world.stack.httpsPort, serverName: 'www.shop.test', ca: world.root })
    expect(seen).toMatchObject({
      tlsVersion: 'TLSv1.3',
      fingerprint: certificate.fingerprint,
      names: 'DNS:www.shop.test',
    })
  })

  test('the API describes itself as OpenAPI 3.1', async () => {
    const document = (await (await fetch(`${world.stack.apiUrl}/openapi.json`)).json()) as Record<string, unknown>
    expect(document.openapi).toMatch(/^3\.1/)
    const result = await new Validator().validate(document)
    expect(result).toMatchObject({ valid: true })
    expect(Object.keys(document.paths as object).length).toBeGreaterThan(40)
  })

  test('port 80 sends a name with a certificate to HTTPS, and no other', async () => {
    const plain = (name: string): ReturnType<typeof run> =>
      run('curl', [
        '-sS',
        '-o',
        '/dev/null',
        '-w',
        '%{http_code} %{redirect_url}',
        '-H',
        `Host: ${name}`,
        `http://127.0.0.1:${world.stack.httpPort}/a?b`,
      ])
    const { stdout } = await plain('www.shop.test')
    expect(stdout).toMatch(/^30[18] https:\/\/www\.shop\.test(:\d+)?\/a\?b$/)
    expect((await plain('unknown.test')).stdout).toBe('404 ')
  })

  test('an IDN and an apex of one tenant are proven by one TXT record above them', async () => {
    const site = await makeSite(world.api, 'Bücher', { 'index.html': 'Bücher' })
    const apex = await addHostname(world, site, 'bücher.test')
    const below = await world.api.post<{ id: string; name: string; unicodeName: string }>('/hostnames', {
      name: 'Straße.Bücher.test.',
      siteId: site.siteId,
      tenantId: site.tenantId,
    })
    expect(below).toMatchObject({ name: 'xn--strae-oqa.xn--bcher-kva.test', unicodeName: 'straße.bücher.test' })
    await untilLive(world.api, apex.id)
    await untilLive(world.api, below.id)
    const seen = await visit({ port: world.stack.httpsPort, serverName: below.name, ca: world.root })
    expect(seen).toMatchObject({ status: 200, body: 'Bücher' })
  })

  test('a new release is what the next request gets, and a roll-back too', async () => {
    const site = await makeSite(world.api, 'Releases', { 'index.html': 'one' })
    await untilLive(world.api, (await addHostname(world, site, 'releases.test')).id)
    const body = async (): Promise<string> =>
      (await visit({ port: world.stack.httpsPort, serverName: 'releases.test' })).body
    expect(await body()).toBe('one')
    const upload = await archiveOf({ 'index.html': 'two' })
    await world.api.upload(`/sites/${site.siteId}/releases`, 'application/gzip', upload)
    await expect.poll(body, { timeout: 30_000 }).toBe('two')
    const { items } = await world.api.get<{ items: { id: string; number: number }[] }>(`/sites/${site.siteId}/releases`)
    const first = items.find((release) => release.number === 1)
    await world.api.post(`/sites/${site.siteId}/releases/${first?.id}/activate`)
    await expect.poll(body, { timeout: 30_000 }).toBe('one')
  })

  test('another tenant cannot take a proven name, and an unproven claim blocks nobody', async () => {
    const first = await makeSite(world.api, 'Holder', { 'index.html': 'holder' })
    const second = await makeSite(world.api, 'Taker', { 'index.html': 'taker' })
    const claim = await world.api.post<{ id: string }>('/hostnames', { name: 'contested.test', ...second })
    await untilLive(world.api, (await addHostname(world, first, 'contested.test')).id)
    await expect(
      world.api.post('/hostnames', {
        name: 'contested.test',
        ...(await addSite(world.api, second.tenantId, 'Other', { 'index.html': '' })),
      }),
    ).rejects.toMatchObject({ status: 409 })
    expect(await world.api.get(`/hostnames/${claim.id}`)).not.toMatchObject({ ownership: { state: 'verified' } })
    const seen = await visit({ port: world.stack.httpsPort, serverName: 'contested.test', ca: world.root })
    expect(seen.body).toBe('holder')
  })

  test('a name that is deleted is refused at the next handshake', async () => {
    const site = await makeSite(world.api, 'Gone', { 'index.html': 'here' })
    const hostname = await addHostname(world, site, 'gone.test')
    await untilLive(world.api, hostname.id)
    await world.api.delete(`/hostnames/${hostname.id}`)
    const attempt = (): Promise<string> =>
      visit({ port: world.stack.httpsPort, serverName: 'gone.test' }).then(
        () => 'served',
        (error: Error) => error.message,
      )
    await expect.poll(attempt, { timeout: 30_000 }).toMatch(/unrecognized.name/i)
  })
})
