import { randomBytes } from 'node:crypto'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type ApiRig, createApiRig, edgeHeaders } from '../../test/api.ts'
import { AppError } from '../errors.ts'
import { ListQuery, WriteQuery } from '../schema.ts'
import { createVault } from '../vault.ts'

const thrown: Record<string, () => unknown> = {
  bug: () => new Error('secret of the inside'),
  full: () => Object.assign(new Error('write'), { code: 'ENOSPC' }),
  refused: () => Object.assign(new Error('connect'), { code: 'ECONNREFUSED' }),
  ours: () => new AppError('IN_USE', 'It is used.'),
  wrapped: () => new Error('outer', { cause: Object.assign(new Error('inner'), { originalCode: '53100' }) }),
}

/** Routes that do what a domain's routes may do. */
const sample: FastifyPluginAsyncTypebox = async (app) => {
  const body = Type.Object({
    name: Type.String({ minLength: 2 }),
    count: Type.Optional(Type.Integer()),
    kind: Type.Optional(Type.Union([Type.Literal('a'), Type.Literal('b')])),
    inner: Type.Optional(Type.Array(Type.Object({ email: Type.String({ format: 'email' }) }))),
  })
  app.post('/things', { schema: { body, querystring: WriteQuery } }, async (request) => ({
    body: request.body,
    dryRun: request.query.dryRun ?? null,
    ip: request.ip,
    protocol: request.protocol,
  }))
  app.get('/things', { schema: { querystring: ListQuery } }, async (request) => request.query)
  app.delete(
    '/things/:id',
    { schema: { params: Type.Object({ id: Type.String({ format: 'uuid' }) }) } },
    async () => 'x',
  )
  app.get('/throws/:what', async (request) => {
    throw thrown[(request.params as { what: string }).what]?.()
  })
}

describe('the API frame', () => {
  let rig: ApiRig
  let web: string
  beforeAll(async () => {
    web = mkdtempSync(join(tmpdir(), 'nameplate-web-'))
    mkdirSync(join(web, '_app/immutable'), { recursive: true })
    writeFileSync(join(web, '200.html'), '<html><script>start()</script><p>panel</p></html>')
    writeFileSync(join(web, '_app/immutable/a.js'), 'let a = 1')
    writeFileSync(join(web, '_app/immutable/a.js.br'), 'compressed')
    rig = await createApiRig({ routes: () => [sample], webFolder: web })
  })
  afterAll(async () => {
    await rig[Symbol.asyncDispose]()
    rmSync(web, { recursive: true })
  })
  const post = (payload: object, url = '/things') => rig.as('guest').inject({ method: 'POST', url, payload })

  test.each([
    [{}, 'name', 'is required'],
    [{ name: 'x' }, 'name', 'must have at least 2 characters'],
    [{ name: 'xx', extra: 1 }, 'extra', 'is not known here'],
    [{ name: 'xx', count: '3' }, 'count', 'must be integer'],
    [{ name: 3 }, 'name', 'must be string'],
    [{ name: 'xx', kind: 'c' }, 'kind', 'must be "a" or "b"'],
    [{ name: 'xx', inner: [{ email: 'no' }] }, 'inner.0.email', 'must be an e-mail address'],
    [{ name: 'xx', inner: [{ email: 'a@b.test', more: 1 }] }, 'inner.0.more', 'is not known here'],
  ])('refuses the body %j by field', async (payload, field, detail) => {
    const response = await post(payload)
    expect(response.statusCode).toBe(400)
    expect(response.headers['content-type']).toContain('application/problem+json')
    expect(response.json()).toMatchObject({ code: 'INVALID_INPUT', status: 400, errors: [{ field, detail }] })
  })

  test('converts queries but no bodies, and refuses a misspelt query', async () => {
    expect((await post({ name: 'xx' }, '/things?dryRun=true')).json()).toMatchObject({ dryRun: true })
    expect((await post({ name: 'xx' }, '/things?dryrun=true')).json()).toMatchObject({ code: 'INVALID_INPUT' })
    expect((await rig.as('guest').inject({ url: '/things?limit=7' })).json()).toEqual({ limit: 7 })
    expect((await rig.as('guest').inject({ url: '/things?limit=201' })).statusCode).toBe(400)
    expect((await rig.as('guest').inject({ method: 'DELETE', url: '/things/x?dryRun=true' })).statusCode).toBe(400)
  })

  test.each([
    ['a body that is no JSON', { payload: '{', headers: { 'content-type': 'application/json' } }, 400, 'INVALID_INPUT'],
    ['an empty body', { payload: '', headers: { 'content-type': 'application/json' } }, 400, 'INVALID_INPUT'],
    ['a text', { payload: 'hello', headers: { 'content-type': 'text/plain' } }, 415, 'UNSUPPORTED_MEDIA_TYPE'],
    ['a body of 1 MiB and more', { payload: { name: 'x'.repeat(1 << 20) } }, 413, 'PAYLOAD_TOO_LARGE'],
    [
      'a prototype',
      { payload: '{"name":"xx","__proto__":{"a":1}}', headers: { 'content-type': 'application/json' } },
      400,
      'INVALID_INPUT',
    ],
  ])('refuses %s', async (_what, call, status, code) => {
    const response = await rig.as('guest').inject({ method: 'POST', url: '/things', ...call })
    expect([response.statusCode, response.json().code]).toEqual([status, code])
  })

  test.each([
    ['bug', 500, 'INTERNAL'],
    ['full', 507, 'STORAGE_FULL'],
    ['wrapped', 507, 'STORAGE_FULL'],
    ['refused', 503, 'UNAVAILABLE'],
    ['ours', 409, 'IN_USE'],
  ])('answers a thrown %s with a problem that says nothing of the inside', async (what, status, code) => {
    const response = await rig.as('guest').inject({ url: `/throws/${what}` })
    expect([response.statusCode, response.json().code]).toEqual([status, code])
    expect(response.body).not.toContain('secret')
  })

  test('says 404 for an unknown path and 405 with Allow for a wrong method', async () => {
    const unknown = await rig.as('guest').inject({ url: '/nothing' })
    expect([unknown.statusCode, unknown.json().code]).toEqual([404, 'NOT_FOUND'])
    const wrong = await rig.as('guest').inject({ method: 'PUT', url: '/things' })
    expect([wrong.statusCode, wrong.json().code, wrong.headers['allow']]).toEqual([
      405,
      'METHOD_NOT_ALLOWED',
      'GET, POST',
    ])
    expect((await rig.app.inject({ url: '/api/v1/%zz' })).json().code).toBe('INVALID_INPUT')
  })

  test('refuses a wrong Authorization header, except where everybody is answered alike', async () => {
    for (const authorization of ['Bearer nonsense', 'Bearer np_nonsense', 'Basic abc', 'Bearer']) {
      const response = await rig.as('guest').inject({ url: '/things', headers: { authorization } })
      expect(response.statusCode).toBe(401)
      expect(response.headers['www-authenticate']).toBe('Bearer')
      expect((await rig.as('guest').inject({ url: '/health', headers: { authorization } })).statusCode).toBe(200)
    }
  })

  test('the pages of the UI may be asked with any query', async () => {
    for (const url of ['/?a=1', '/login?next=%2Fsites', '/_app/immutable/a.js?v=2']) {
      expect(await rig.app.inject({ url }), url).toMatchObject({ statusCode: 200 })
    }
  })

  test('serves the UI with its own policy, and never the page for a missing file or call', async () => {
    const page = await rig.app.inject({ url: '/hostnames/123' })
    expect(page.body).toContain('panel')
    expect(page.headers['cache-control']).toBe('no-cache')
    expect(page.headers['content-security-policy']).toContain("script-src 'self' 'sha256-")
    expect(page.headers['content-security-policy']).toContain("frame-ancestors 'none'")
    expect((await rig.app.inject({ url: '/' })).body).toContain('panel')
    for (const url of ['/', '/hostnames']) expect((await rig.app.inject({ method: 'HEAD', url })).statusCode).toBe(200)
    const script = await rig.app.inject({ url: '/_app/immutable/a.js', headers: { 'accept-encoding': 'br' } })
    expect([script.body, script.headers['content-encoding']]).toEqual(['compressed', 'br'])
    expect(script.headers['cache-control']).toContain('immutable')
    for (const url of ['/_app/immutable/old.js', '/api/v1/none', '/api/none', '/x.png', '/../package.json'])
      expect((await rig.app.inject({ url })).json().code).toBe('NOT_FOUND')
    expect((await rig.app.inject({ method: 'POST', url: '/hostnames' })).statusCode).toBe(404)
  })

  test('trusts no forwarded address', async () => {
    const headers = { 'x-forwarded-for': '203.0.113.9', 'x-forwarded-proto': 'https' }
    const response = await rig.as('guest').inject({ method: 'POST', url: '/things', payload: { name: 'xx' }, headers })
    expect(response.json()).toMatchObject({ ip: '127.0.0.1', protocol: 'http' })
  })

  test('refuses a head that is too large on the wire', async () => {
    await rig.app.listen({ port: 0, host: '127.0.0.1' })
    const { port } = rig.app.server.address() as { port: number }
    const answer = await new Promise<string>((resolve, reject) => {
      const socket = connect(port, '127.0.0.1')
      let text = ''
      socket.on('data', (chunk) => (text += chunk))
      socket.on('close', () => resolve(text))
      socket.on('error', reject)
      socket.write(`GET /api/v1/health HTTP/1.1\r\nhost: x\r\nx-long: ${'a'.repeat(20_000)}\r\n\r\n`)
    })
    expect(answer).toContain('431')
  })
})

test('behind the listener the forwarded address is that of one loopback hop', async () => {
  await using rig = await createApiRig({ routes: () => [sample], isBehindListener: true })
  const said = { 'x-forwarded-for': '198.51.100.1, 203.0.113.9', 'x-forwarded-proto': 'https' }
  const headers = { ...said, ...edgeHeaders(rig.vault) }
  const call = { method: 'POST', url: '/api/v1/things', payload: { name: 'xx' }, headers } as const
  expect((await rig.app.inject(call)).json()).toMatchObject({ ip: '203.0.113.9', protocol: 'https' })
  const stranger = await rig.app.inject({ ...call, remoteAddress: '192.0.2.1' })
  expect(stranger.json()).toMatchObject({ ip: '192.0.2.1', protocol: 'http' })
  // Another program of the same machine is no edge, whatever it says.
  for (const hop of [{}, edgeHeaders(createVault(randomBytes(32))), { 'x-nameplate-hop': 'x' }]) {
    const local = await rig.app.inject({ ...call, headers: { ...said, ...hop } })
    expect(local.json()).toMatchObject({ ip: '127.0.0.1', protocol: 'http' })
  }
})
