import { randomUUIDv7 } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { statusByKind } from '../../test/api.ts'
import { createDomainRig, type DomainRig } from '../../test/domains.ts'
import { system } from '../auth/access.ts'
import type { Diagnosis } from './schema.ts'

let rig: DomainRig
beforeAll(async () => {
  rig = await createDomainRig()
})
afterAll(() => rig[Symbol.asyncDispose]())
beforeEach(() => {
  rig.dns.clear()
  rig.targets.publicAddresses.length = 0
})

const nobody = '0190a0a0-0000-7000-8000-000000000000'
const read = { guest: 401, stranger: 404, viewer: 200, member: 200, owner: 200, support: 200, admin: 200 }
const change = { guest: 401, stranger: 404, viewer: 403, member: 200, owner: 200, support: 403, admin: 200 }
const remove = { guest: 401, stranger: 404, viewer: 403, member: 204, owner: 404, support: 404, admin: 404 }

describe('who may', () => {
  test('add a hostname', async () => {
    const statuses = await statusByKind(rig.api, {
      method: 'POST',
      url: '/hostnames?dryRun=true',
      payload: { name: 'table.test', siteId: rig.sites.own },
    })
    expect(statuses).toEqual({
      guest: 401,
      stranger: 404,
      viewer: 403,
      member: 201,
      owner: 201,
      support: 403,
      admin: 201,
    })
  })

  test('add a trusted hostname', async () => {
    const payload = { name: 'trusted.test', siteId: rig.sites.own, ownership: 'trusted' }
    const statuses = await statusByKind(rig.api, { method: 'POST', url: '/hostnames?dryRun=true', payload })
    expect(statuses).toEqual({
      guest: 401,
      stranger: 403,
      viewer: 403,
      member: 403,
      owner: 403,
      support: 403,
      admin: 201,
    })
  })

  test('look at, change, check and remove one', async () => {
    const { id } = await rig.add('one.test')
    expect(await statusByKind(rig.api, { method: 'GET', url: `/hostnames/${id}` })).toEqual(read)
    expect(await statusByKind(rig.api, { method: 'GET', url: `/hostnames/${id}/diagnosis` })).toEqual(read)
    const patch = { method: 'PATCH', url: `/hostnames/${id}`, payload: { siteId: rig.sites.second } } as const
    expect(await statusByKind(rig.api, patch)).toEqual(change)
    expect(await statusByKind(rig.api, { method: 'POST', url: `/hostnames/${id}/check` })).toEqual(change)
    expect(await statusByKind(rig.api, { method: 'DELETE', url: `/hostnames/${id}` })).toEqual(remove)
  })

  test('deal with domains', async () => {
    const make = {
      method: 'POST',
      url: '/domains?dryRun=true',
      payload: { name: 'zone.test', tenantId: rig.api.tenantId },
    } as const
    expect(await statusByKind(rig.api, make)).toEqual({
      guest: 401,
      stranger: 404,
      viewer: 403,
      member: 201,
      owner: 201,
      support: 403,
      admin: 201,
    })
    const made = await rig.api
      .as('member')
      .inject({ method: 'POST', url: '/domains', payload: { name: 'www.zone.test' } })
    expect(made.json()).toMatchObject({ name: 'zone.test', state: 'pending', hostnames: 0, proofs: [] })
    const { id } = made.json<{ id: string }>()
    expect(await statusByKind(rig.api, { method: 'GET', url: `/domains/${id}` })).toEqual(read)
    expect(await statusByKind(rig.api, { method: 'POST', url: `/domains/${id}/check` })).toEqual(change)
    expect(await statusByKind(rig.api, { method: 'DELETE', url: `/domains/${id}` })).toEqual(remove)
  })

  test('see what in lists', async () => {
    await rig.add('mine.list.test')
    await rig.add('theirs.list.test', 'other')
    for (const url of ['/hostnames?q=list.test', '/domains?q=list.test']) {
      const counts = []
      for (const kind of ['stranger', 'viewer', 'support', 'admin'] as const)
        counts.push((await rig.api.as(kind).inject({ method: 'GET', url })).json<{ items: unknown[] }>().items.length)
      expect(counts).toEqual([1, 1, 2, 2])
      expect((await rig.api.as('guest').inject({ method: 'GET', url })).statusCode).toBe(401)
    }
  })
})

describe('adding', () => {
  const post = (payload: object, kind: 'member' | 'admin' | 'stranger' = 'member', query = '') =>
    rig.api.as(kind).inject({ method: 'POST', url: `/hostnames${query}`, payload })

  test('answers the hostname with the records to create', async () => {
    const answer = await post({ name: 'Www.Shop.Test', siteId: rig.sites.own })
    expect(answer.statusCode).toBe(201)
    const shown = answer.json<
      Record<string, unknown> & { ownership: { instructions: { name: string; value: string }[] } }
    >()
    expect(shown).toMatchObject({
      name: 'www.shop.test',
      unicodeName: 'www.shop.test',
      siteId: rig.sites.own,
      tenantId: rig.api.tenantId,
      ownership: { state: 'pending' },
      certificate: { state: 'wanted' },
      live: false,
    })
    expect(shown.ownership.instructions.map(({ name }) => name)).toEqual([
      '_nameplate-challenge.shop.test',
      '_nameplate-challenge.www.shop.test',
      expect.stringMatching(/^http:\/\/www\.shop\.test\/\.well-known\/nameplate-challenge\/[0-9a-f]{40}$/),
    ])
    expect(shown.ownership.instructions[0]?.value).toMatch(/^nameplate-verify=[0-9a-f]{40}$/)
  })

  test('a dry run checks and changes nothing', async () => {
    const answer = await post({ name: 'dry.test', siteId: rig.sites.own }, 'member', '?dryRun=true')
    expect(answer.statusCode).toBe(201)
    expect(await rig.api.db.hostname.count({ where: { name: 'dry.test' } })).toBe(0)
    expect(await rig.api.db.domain.count({ where: { name: 'dry.test' } })).toBe(0)
  })

  test.each([
    [{ name: '192.0.2.7' }, 400, 'NAME_IS_ADDRESS'],
    [{ name: 'co.uk' }, 400, 'NAME_PUBLIC_SUFFIX'],
    [{ name: '*.github.io' }, 400, 'NAME_PUBLIC_SUFFIX'],
    [{ name: 'a_b.test' }, 400, 'NAME_INVALID'],
    [{ name: `${'a'.repeat(64)}.test` }, 400, 'NAME_TOO_LONG'],
    [{ name: 'a.*.test' }, 400, 'NAME_WILDCARD'],
    [{ name: 'panel.host.example' }, 409, 'NAME_RESERVED'],
    [{ name: 'box.local' }, 409, 'NAME_RESERVED'],
    [{ name: '' }, 400, 'INVALID_INPUT'],
    [{ name: 'x'.repeat(5_000) }, 400, 'INVALID_INPUT'],
    [{ name: 'fine.test', surprise: 1 }, 400, 'INVALID_INPUT'],
    [{ name: 'fine.test', siteId: 'none' }, 400, 'INVALID_INPUT'],
    [{ name: 'fine.test', siteId: nobody }, 404, 'NOT_FOUND'],
    [{ name: 'fine.test', ownership: 'verified' }, 400, 'INVALID_INPUT'],
  ])('%j: %i %s', async (payload, status, code) => {
    const answer = await post({ siteId: rig.sites.own, ...payload })
    expect({ status: answer.statusCode, code: answer.json<{ code: string }>().code }).toEqual({ status, code })
    expect(answer.json<{ detail: string }>().detail.length).toBeGreaterThan(10)
  })

  test("twice, on another tenant's site, above the plan, while suspended", async () => {
    await rig.add('twice.test')
    expect((await post({ name: 'TWICE.test.', siteId: rig.sites.own })).json()).toMatchObject({ code: 'NAME_EXISTS' })
    const foreign = await post({ name: 'foreign.test', siteId: rig.sites.other })
    expect(foreign.statusCode).toBe(404)
    const none = await post({ name: 'foreign.test', siteId: randomUUIDv7() })
    expect(foreign.json()).toEqual(none.json())
    const mixed = { name: 'mixed.test', siteId: rig.sites.own, tenantId: rig.api.otherTenantId }
    expect((await post(mixed, 'admin')).statusCode).toBe(404)
    const { db, otherTenantId } = rig.api
    const plan = await db.plan.create({
      data: { name: 'small', maxHostnames: await db.hostname.count({ where: { tenantId: otherTenantId } }) },
    })
    await db.tenant.update({ where: { id: otherTenantId }, data: { planId: plan.id } })
    expect((await post({ name: 'over.test', siteId: rig.sites.other }, 'stranger')).json()).toMatchObject({
      code: 'LIMIT_REACHED',
    })
    await db.tenant.update({ where: { id: otherTenantId }, data: { planId: null, state: 'suspended' } })
    expect((await post({ name: 'suspended.test', siteId: rig.sites.other }, 'stranger')).json()).toMatchObject({
      code: 'TENANT_SUSPENDED',
    })
    await db.tenant.update({ where: { id: otherTenantId }, data: { state: 'active' } })
  })

  test('many at once by two tenants: each has its own, nothing is half done', async () => {
    const names = Array.from({ length: 20 }, (_, index) => `n${index % 5}.burst.test`)
    const answers = await Promise.all(
      names.flatMap((name) => [
        post({ name, siteId: rig.sites.own }),
        post({ name, siteId: rig.sites.other }, 'stranger'),
      ]),
    )
    expect(answers.filter(({ statusCode }) => statusCode === 201)).toHaveLength(10)
    expect(answers.filter(({ statusCode }) => statusCode === 409)).toHaveLength(30)
    expect(await rig.api.db.domain.count({ where: { name: 'burst.test' } })).toBe(2)
  })
})

test('lists are filtered and paged', async () => {
  for (const name of ['a.page.test', 'b.page.test', 'c.page.test']) await rig.add(name)
  const idn = await rig.add('straße.page.test')
  const names = async (query: string) => {
    const answer = await rig.api.as('viewer').inject({ method: 'GET', url: `/hostnames?${query}` })
    return answer.json<{ items: { name: string }[]; nextCursor: string | null }>()
  }
  const first = await names('q=page.test&limit=3')
  expect(first.items.map(({ name }) => name)).toEqual(['a.page.test', 'b.page.test', 'c.page.test'])
  const second = await names(`q=page.test&limit=3&cursor=${first.nextCursor}`)
  expect(second).toMatchObject({ items: [{ name: idn.name }], nextCursor: null })
  expect((await names(`q=${encodeURIComponent('STRAße.page')}`)).items).toHaveLength(1)
  expect((await names(`domainId=${idn.domainId}`)).items).toHaveLength(4)
  expect((await names(`siteId=${rig.sites.second}&q=page.test`)).items).toHaveLength(0)
  expect((await names('state=verified&q=page.test')).items).toHaveLength(0)
  expect((await rig.api.as('viewer').inject({ method: 'GET', url: '/hostnames?cursor=bogus' })).json()).toMatchObject({
    code: 'INVALID_CURSOR',
  })
})

describe('diagnosis', () => {
  const diagnose = async (id: string) => {
    const answer = await rig.api.as('viewer').inject({ method: 'GET', url: `/hostnames/${id}/diagnosis` })
    const { ok, checks } = answer.json<Diagnosis>()
    return { ok, checks: Object.fromEntries(checks.map((check) => [check.code, check])) }
  }

  test('says of each step what is, and what to do', async () => {
    rig.targets.publicAddresses.push('192.0.2.10', '2001:db8::10')
    const name = await rig.add('doctor.test')
    rig.dns.set('A', 'doctor.test', ['198.51.100.1'])
    rig.dns.set('AAAA', 'doctor.test', ['2001:db8:0:0::99'])
    await rig.hostnames.check(system, name.id)
    const { ok, checks } = await diagnose(name.id)
    expect(ok).toBe(false)
    expect(checks).toMatchObject({
      OWNERSHIP: { status: 'waiting', fix: expect.stringContaining('_nameplate-challenge.doctor.test') },
      ADDRESS_V4: {
        status: 'problem',
        detail: expect.stringContaining('198.51.100.1'),
        fix: expect.stringContaining('192.0.2.10'),
      },
      STRAY_AAAA: {
        status: 'problem',
        fix: expect.stringContaining('Remove the record "doctor.test. AAAA 2001:db8::99".'),
      },
      CERTIFICATE: { status: 'waiting' },
      LIVE: { status: 'problem', detail: expect.stringContaining('No edge') },
    })
  })

  test('all is well', async () => {
    rig.targets.publicAddresses.push('192.0.2.10', '2001:db8::10')
    const name = await rig.add('*.well.test')
    rig.dns.set('A', 'nameplate-check.well.test', ['192.0.2.10'])
    rig.dns.set('AAAA', 'nameplate-check.well.test', ['2001:db8:0:0:0:0:0:10'])
    rig.prove(name)
    await rig.hostnames.check(system, name.id)
    const { id } = await rig.api.db.certificate.create({
      data: { tenantId: name.tenantId, names: [name.name], dueAt: null },
    })
    const version = await rig.api.db.certificateVersion.create({
      data: {
        certificateId: id,
        fingerprint: 'a'.repeat(64),
        serial: '1',
        names: [name.name],
        keyAlgorithm: 'ecdsa-p256',
        chainPem: 'chain',
        keySealed: new Uint8Array(1),
        notBefore: new Date(),
        notAfter: new Date('2099-01-01T00:00:00Z'),
      },
    })
    await rig.api.db.certificate.update({ where: { id }, data: { state: 'valid', activeVersionId: version.id } })
    await rig.api.db.hostname.update({ where: { id: name.id }, data: { certificateId: id } })
    rig.live.add(name.id)
    expect(await diagnose(name.id)).toMatchObject({
      ok: true,
      checks: {
        OWNERSHIP: { status: 'ok' },
        ADDRESS_V4: { status: 'ok' },
        ADDRESS_V6: { status: 'ok' },
        CERTIFICATE: { status: 'ok' },
        LIVE: { status: 'ok' },
      },
    })
    const shown = await rig.api.as('viewer').inject({ method: 'GET', url: `/hostnames/${name.id}` })
    expect(shown.json()).toMatchObject({
      live: true,
      certificate: { state: 'valid', id, notAfter: '2099-01-01T00:00:00.000Z' },
    })
  })

  test.each([
    ['waiting', null, 'unknown', /not been looked at/],
    ['ok', null, 'ok', /shows its certificate \(2026-11-28 01:00 UTC\)/],
    ['suspect', '192.0.2.1: nothing answers there.', 'waiting', /192\.0\.2\.1.*again in a minute/],
    ['failed', '192.0.2.1: nothing answers there.', 'problem', /192\.0\.2\.1/],
    ['skipped', 'No way there.', 'unknown', /No way there/],
  ] as const)('tells what was seen from outside: %s', async (state, detail, status, text) => {
    const name = await rig.add(`${state}.probed.test`)
    const at = state === 'waiting' ? null : new Date('2026-11-28T01:00:00Z')
    const servedFingerprint = state === 'ok' ? 'a'.repeat(64) : null
    const data = { hostnameId: name.id, state, at, detail, servedFingerprint }
    await rig.api.db.probeResult.create({ data })
    expect((await diagnose(name.id)).checks['PROBE']).toMatchObject({ status, detail: expect.stringMatching(text) })
    const shown = await rig.api.as('viewer').inject({ method: 'GET', url: `/hostnames/${name.id}` })
    expect(shown.json().probe).toEqual({
      state,
      ...(at === null ? {} : { at: at.toISOString() }),
      ...(servedFingerprint === null ? {} : { servedFingerprint }),
      ...(detail === null ? {} : { detail }),
    })
  })

  test.each([
    [
      'slip.test',
      (value: string) => rig.dns.set('TXT', 'slip.test', ['v=spf1 -all', value]),
      'Put it at _nameplate-challenge.slip.test',
    ],
    [
      'twofold.test',
      (value: string) => rig.dns.set('TXT', '_nameplate-challenge.twofold.test.twofold.test', [value]),
      'adds "twofold.test" by itself',
    ],
  ])('finds the record that was put elsewhere: %s', async (text, put, detail) => {
    const name = await rig.add(text)
    put(name.ownership.instructions[0]?.value ?? '')
    expect((await diagnose(name.id)).checks['OWNERSHIP']).toMatchObject({
      status: 'problem',
      detail: expect.stringContaining(detail),
    })
  })

  test('an edge that refuses a record is named', async () => {
    const name = await rig.add('edge.test')
    const edge = {
      id: nobody,
      name: 'edge-1',
      publicKey: new Uint8Array(32),
      leaseExpiresAt: new Date(Date.now() + 60_000),
    }
    await rig.api.db.edge.create({ data: edge })
    const refusal = {
      edgeId: nobody,
      kind: 'name',
      key: name.name,
      revision: 1n,
      state: 'refused',
      reason: 'its key does not fit',
    } as const
    await rig.api.db.edgeException.create({ data: refusal })
    expect((await diagnose(name.id)).checks['LIVE']?.detail).toBe(
      'The edge "edge-1" does not serve it yet: its key does not fit.',
    )
    await rig.api.db.edgeException.deleteMany()
    expect((await diagnose(name.id)).checks['LIVE']?.status).toBe('waiting')
    await rig.api.db.edge.deleteMany()
  })
})
