import { randomUUID } from 'node:crypto'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createReach } from '../../contract/reach.ts'
import { type ApiRig, createApiRig, type Kind, kinds, statusByKind } from '../../test/api.ts'
import { makeDnsParts } from '../../test/dns-rig.ts'
import { type NameServers, startNameServers, tsigKeys } from '../../test/name-servers.ts'
import { dnsProviderRoutes } from './routes.ts'
import { createDnsProviderService } from './service.ts'

let servers: NameServers
let rig: ApiRig

beforeAll(async () => {
  servers = await startNameServers([
    { name: 'bind.test', at: 'bind' },
    { name: 'fixed.test', at: 'bind', isReadOnly: true },
  ])
  rig = await createApiRig({
    routes: ({ db, vault }) => {
      const { records, ask } = makeDnsParts(db, { servers }, vault)
      const reach = createReach(['127.0.0.0/8'])
      return [dnsProviderRoutes(createDnsProviderService({ db, vault, reach, records, ask }))]
    },
  })
}, 60_000)
afterAll(async () => {
  await rig[Symbol.asyncDispose]()
  await servers[Symbol.asyncDispose]()
})

const SECRET = tsigKeys['acme-key'].secret
const row = (...statuses: number[]): Record<Kind, number> =>
  Object.fromEntries(kinds.map((kind, index) => [kind, statuses[index] ?? 0])) as Record<Kind, number>
const bind = (some: object = {}) => ({
  name: `p-${randomUUID()}`,
  kind: 'rfc2136',
  config: { server: servers.primaries.bind, keyName: 'acme-key' },
  secret: SECRET,
  zones: ['bind.test'],
  ...some,
})
const post = (kind: Kind, payload: object, query = '') =>
  rig.as(kind).inject({ method: 'POST', url: `/dns-providers${query}`, payload })
const added = async (kind: Kind, payload: object): Promise<string> => {
  const answer = await post(kind, payload)
  expect(answer.statusCode, answer.body).toBe(201)
  return answer.json().id
}

test('who may call what', async () => {
  const own = await added('member', bind())
  const platform = await added('admin', bind({ tenantId: null }))
  const { tenantId } = rig
  // guest, stranger, viewer, member, owner, support, admin
  const table: [string, Parameters<typeof statusByKind>[1], Record<Kind, number>][] = [
    ['list', { method: 'GET', url: '/dns-providers' }, row(401, 200, 200, 200, 200, 200, 200)],
    ['get', { method: 'GET', url: `/dns-providers/${own}` }, row(401, 404, 200, 200, 200, 200, 200)],
    ['get platform', { method: 'GET', url: `/dns-providers/${platform}` }, row(401, 404, 404, 404, 404, 200, 200)],
    [
      'create',
      { method: 'POST', url: '/dns-providers?dryRun=true', payload: bind({ tenantId }) },
      row(401, 404, 403, 201, 201, 403, 201),
    ],
    [
      'create platform',
      { method: 'POST', url: '/dns-providers?dryRun=true', payload: bind({ tenantId: null }) },
      row(401, 403, 403, 403, 403, 403, 201),
    ],
    [
      'change',
      { method: 'PATCH', url: `/dns-providers/${own}?dryRun=true`, payload: { name: 'other' } },
      row(401, 404, 403, 200, 200, 403, 200),
    ],
    [
      'change platform',
      { method: 'PATCH', url: `/dns-providers/${platform}?dryRun=true`, payload: { name: 'other' } },
      row(401, 404, 404, 404, 404, 403, 200),
    ],
    [
      'test',
      { method: 'POST', url: `/dns-providers/${own}/test`, payload: {} },
      row(401, 404, 403, 200, 200, 403, 200),
    ],
    [
      'test platform',
      { method: 'POST', url: `/dns-providers/${platform}/test`, payload: {} },
      row(401, 404, 404, 404, 404, 403, 200),
    ],
    ['delete', { method: 'DELETE', url: `/dns-providers/${own}?dryRun=true` }, row(401, 404, 403, 204, 204, 403, 204)],
    [
      'delete platform',
      { method: 'DELETE', url: `/dns-providers/${platform}?dryRun=true` },
      row(401, 404, 404, 404, 404, 403, 204),
    ],
  ]
  for (const [what, call, expected] of table)
    expect({ what, ...(await statusByKind(rig, call)) }).toEqual({ what, ...expected })
  const listed = async (kind: Kind): Promise<string[]> =>
    (await rig.as(kind).inject({ url: '/dns-providers' })).json().items.map(({ id }: { id: string }) => id)
  expect(await listed('stranger')).toEqual([])
  expect(await listed('member')).toContain(own)
  expect(await listed('member')).not.toContain(platform)
  expect(await listed('support')).toEqual(expect.arrayContaining([own, platform]))
})

test('a secret is sealed, never answered, and not in an event', async () => {
  const id = await added('owner', bind())
  const bodies = [
    await rig.as('owner').inject({ url: `/dns-providers/${id}` }),
    await rig.as('admin').inject({ url: '/dns-providers' }),
    await rig.as('owner').inject({ method: 'PATCH', url: `/dns-providers/${id}`, payload: { secret: SECRET } }),
    await rig.as('owner').inject({ method: 'POST', url: `/dns-providers/${id}/test`, payload: {} }),
  ].map(({ body }) => body)
  const events = await rig.db.event.findMany({ where: { subjectId: id } })
  const row = await rig.db.dnsProvider.findUniqueOrThrow({ where: { id } })
  const all = JSON.stringify([bodies, events.map(({ detail, action }) => ({ detail, action }))])
  expect(all).not.toContain(SECRET)
  expect(Buffer.from(row.secretSealed ?? []).includes(Buffer.from(SECRET))).toBe(false)
  expect(JSON.parse(bodies[0] ?? '')).toMatchObject({ hasSecret: true, zones: ['bind.test'], tenantId: rig.tenantId })
  expect(events.map(({ action }) => action)).toEqual([
    'dns-provider.created',
    'dns-provider.changed',
    'dns-provider.tested',
  ])
})

describe('what cannot work is refused before it is stored', () => {
  const tsig = { server: '127.0.0.1', keyName: 'k' }
  test.each<[string, object, string]>([
    ['no server', { config: { keyName: 'k' } }, 'config.server'],
    ['a field of another kind', { config: { ...tsig, url: 'https://x.example/' } }, 'config.url'],
    ['a server that is none', { config: { ...tsig, server: 'http://x' } }, 'config.server'],
    ['a private address', { config: { ...tsig, server: '10.0.0.1' } }, 'config.server'],
    ['an internal address, IPv6', { config: { ...tsig, server: '[::1]:53' } }, 'config.server'],
    ['a key name that is none', { config: { ...tsig, keyName: 'a b' } }, 'config.keyName'],
    ['no secret', { secret: undefined }, 'secret'],
    ['a secret that is no key', { secret: 'hello!' }, 'secret'],
    ['a short key', { secret: 'aGVsbG8=' }, 'secret'],
    ['a zone that is none', { zones: ['bind.test', 'a b'] }, 'zones.1'],
    ['a public suffix alone', { zones: ['com'] }, 'zones.0'],
    ['a hook of a tenant', { kind: 'hook', config: { command: '/bin/true' } }, 'kind'],
    ['PowerDNS without a URL', { kind: 'powerdns', config: {} }, 'config.url'],
    ['a file', { kind: 'powerdns', config: { url: 'file:///etc/passwd' } }, 'config.url'],
    ['metadata', { kind: 'webhook', config: { url: 'http://169.254.169.254/' } }, 'config.url'],
    ['roots that are none', { kind: 'webhook', config: { url: 'https://x.example/', caPem: 'x' } }, 'config.caPem'],
    ['a weak webhook key', { kind: 'webhook', config: { url: 'https://x.example/' }, secret: 'short' }, 'secret'],
    ['a token with a line break', { kind: 'cloudflare', config: {}, secret: 'a\nb' }, 'secret'],
    ['a kind that there is not', { kind: 'route53' }, 'kind'],
    ['no zones', { zones: [] }, 'zones'],
    ['51 zones', { zones: Array.from({ length: 51 }, (_, index) => `z${index}.test`) }, 'zones'],
  ])('%s', async (_, some, field) => {
    const before = await rig.db.dnsProvider.count()
    const answer = await post('owner', bind(some))
    expect(answer.json()).toMatchObject({ status: 400, code: 'INVALID_INPUT' })
    expect(JSON.stringify(answer.json().errors)).toContain(field.split('.')[0])
    expect(await rig.db.dnsProvider.count()).toBe(before)
  })

  test('a relative command', async () => {
    const hook = { tenantId: null, kind: 'hook', secret: undefined }
    const answer = await post('admin', bind({ ...hook, config: { command: 'true' } }))
    expect(answer.json()).toMatchObject({ code: 'INVALID_INPUT', errors: [{ field: 'config.command' }] })
  })
})

test('names are told apart by tenant, zones are normalised, there is an end to how many', async () => {
  const payload = bind({ name: 'the same', zones: ['Bind.TEST.', 'bind.test', '_acme.MÜLLER.example'] })
  const id = await added('owner', payload)
  await added('stranger', payload)
  await added('admin', { ...payload, tenantId: null })
  for (const kind of ['member', 'stranger'] as const)
    expect((await post(kind, payload)).json()).toMatchObject({ status: 409, code: 'CONFLICT' })
  expect((await post('admin', { ...payload, tenantId: null })).json()).toMatchObject({ code: 'CONFLICT' })
  const { zones } = (await rig.as('owner').inject({ url: `/dns-providers/${id}` })).json()
  expect(zones).toEqual(['_acme.xn--mller-kva.example', 'bind.test'])
  let answer = await post('stranger', bind())
  for (let tries = 0; answer.statusCode === 201 && tries < 25; tries += 1) answer = await post('stranger', bind())
  expect(answer.json()).toMatchObject({ status: 403, code: 'LIMIT_REACHED' })
  expect(await rig.db.dnsProvider.count({ where: { tenantId: rig.otherTenantId } })).toBe(20)
})

test('whoever changes where a secret is used has to know it', async () => {
  const id = await added('owner', bind())
  const patch = (payload: object) => rig.as('member').inject({ method: 'PATCH', url: `/dns-providers/${id}`, payload })
  const config = { server: '127.0.0.1:1', keyName: 'acme-key' }
  expect((await patch({ config })).json()).toMatchObject({ code: 'INVALID_INPUT', errors: [{ field: 'secret' }] })
  expect((await patch({ config: { server: servers.primaries.bind, keyName: 'k' } })).statusCode).toBe(200)
  expect((await patch({ config, secret: SECRET })).json()).toMatchObject({ config: { server: '127.0.0.1:1' } })
})

describe('a test', () => {
  const tryOut = async (id: string, payload: object = {}, kind: Kind = 'owner') =>
    (await rig.as(kind).inject({ method: 'POST', url: `/dns-providers/${id}/test`, payload })).json()

  test('writes, finds and removes a record', async () => {
    const id = await added('owner', bind())
    const answer = await tryOut(id)
    expect(answer).toMatchObject({ ok: true, zone: 'bind.test' })
    expect(answer.fqdn).toMatch(/^_nameplate-test-[0-9a-f]{8}\.bind\.test$/)
    expect(answer.steps).toMatchObject([
      { step: 'write', ok: true },
      { step: 'look', ok: true, detail: expect.stringContaining('ns1.bind.test') },
      { step: 'remove', ok: true },
    ])
    expect(await rig.db.dnsRecord.count({ where: { providerId: id } })).toBe(0)
  })

  test('says what is wrong; what it may have left is written down and in the way of a deletion', async () => {
    const id = await added('owner', bind({ config: { server: servers.primaries.bind, keyName: 'other' } }))
    const answer = await tryOut(id)
    expect(answer).toMatchObject({
      ok: false,
      steps: [{ step: 'write', ok: false, code: 'credentials' }, { step: 'remove' }],
    })
    expect(await rig.db.dnsRecord.findMany({ where: { providerId: id } })).toMatchObject([
      { state: 'removing', failures: 1, fqdn: answer.fqdn },
    ])
    const remove = (query: string) => rig.as('owner').inject({ method: 'DELETE', url: `/dns-providers/${id}${query}` })
    expect((await remove('')).json()).toMatchObject({ status: 409, code: 'IN_USE' })
    const zones = { method: 'PATCH', url: `/dns-providers/${id}`, payload: { zones: ['fixed.test'] } } as const
    expect((await rig.as('owner').inject(zones)).json()).toMatchObject({ code: 'IN_USE' })
    expect((await remove('?force=true')).statusCode).toBe(204)
    expect(await rig.db.dnsRecord.count({ where: { providerId: id } })).toBe(0)
  })

  test('a zone that takes no updates, and one that is not the provider’s', async () => {
    const id = await added('owner', bind({ zones: ['bind.test', 'fixed.test'] }))
    expect(await tryOut(id, { zone: 'Fixed.test' })).toMatchObject({
      ok: false,
      zone: 'fixed.test',
      steps: [{ code: 'refused' }, {}],
    })
    expect(await tryOut(id, { zone: 'other.test' })).toMatchObject({ status: 400, code: 'INVALID_INPUT' })
  })

  test('a hook of the platform is run', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'hook-'))
    const command = join(folder, 'hook')
    writeFileSync(command, '#!/bin/sh\necho "no, $1" >&2\nexit 4\n')
    chmodSync(command, 0o755)
    const id = await added('admin', bind({ tenantId: null, kind: 'hook', config: { command }, secret: undefined }))
    const answer = await tryOut(id, {}, 'admin')
    rmSync(folder, { recursive: true })
    expect(answer.steps[0]).toMatchObject({ ok: false, detail: expect.stringMatching(/status 4: no, set$/) })
  })
})

test('no change is made twice with one idempotency key', async () => {
  const headers = { 'idempotency-key': randomUUID() }
  const payload = bind()
  const send = () => rig.as('owner').inject({ method: 'POST', url: '/dns-providers', payload, headers })
  const [first, second] = [await send(), await send()]
  expect(second.json()).toEqual(first.json())
  expect(await rig.db.dnsProvider.count({ where: { name: payload.name } })).toBe(1)
})
