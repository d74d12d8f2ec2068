import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { createDomainRig, type DomainRig } from '../../test/domains.ts'
import { system } from '../auth/access.ts'
import { ensureTrustedHostname } from './trusted.ts'

const DAY_MS = 86_400_000
let rig: DomainRig
beforeAll(async () => {
  rig = await createDomainRig()
})
afterAll(() => rig[Symbol.asyncDispose]())
beforeEach(() => {
  rig.dns.clear()
  rig.hookCalls.length = 0
})

const check = (id: string) => rig.hostnames.check(system, id)
const state = async (id: string) => (await rig.hostnames.get(system, id)).ownership.state
const actions = async (subjectId: string) =>
  (await rig.api.db.event.findMany({ where: { subjectId }, orderBy: { id: 'asc' } })).map(({ action }) => action)

/** Makes it look as if what was seen had been seen so long ago. */
async function age(hostnameId: string, days: number): Promise<void> {
  const { domainId } = await rig.api.db.hostname.findUniqueOrThrow({ where: { id: hostnameId } })
  const at = new Date(Date.now() - days * DAY_MS)
  await rig.api.db.proof.updateMany({ where: { domainId }, data: { checkedAt: at, verifiedAt: at } })
  await rig.api.db.hostname.update({ where: { id: hostnameId }, data: { verifiedAt: at } })
}

/** A certificate as the certificates side would attach it. */
async function attach(hostnameId: string): Promise<string> {
  const { tenantId, name } = await rig.api.db.hostname.findUniqueOrThrow({ where: { id: hostnameId } })
  const { id } = await rig.api.db.certificate.create({ data: { tenantId, names: [name], dueAt: null } })
  await rig.api.db.hostname.update({ where: { id: hostnameId }, data: { certificateId: id } })
  return id
}

describe('proof by TXT', () => {
  test('pending says what is missing; the record at the domain proves all its names at once', async () => {
    const apex = await rig.add('txt.test')
    const deep = await rig.add('a.b.txt.test')
    const wildcard = await rig.add('*.txt.test')
    const before = await check(deep.id)
    expect(before.ownership).toMatchObject({ state: 'pending', problem: { code: 'TXT_MISSING' } })
    expect(before.ownership.problem?.detail).toContain('_nameplate-challenge.a.b.txt.test')
    expect(before.certificate).toEqual({ state: 'wanted' })
    rig.prove(deep)
    expect((await check(deep.id)).ownership.problem).toBeUndefined()
    expect([await state(apex.id), await state(deep.id), await state(wildcard.id)]).toEqual([
      'verified',
      'verified',
      'verified',
    ])
    expect(await actions(deep.id)).toEqual(['hostname.created', 'hostname.verified'])
    expect(await rig.domains.get(system, deep.domainId)).toMatchObject({
      state: 'verified',
      hostnames: 3,
      proofs: [{ method: 'txt', name: 'txt.test' }],
    })
    expect((await rig.add('later.txt.test')).ownership.state).toBe('verified')
  })

  test('the record at a lower name proves what is at and below it, and nothing else', async () => {
    const [www, below, beside] = [
      await rig.add('www.low.test'),
      await rig.add('x.www.low.test'),
      await rig.add('mail.low.test'),
    ]
    rig.prove(www, 'www.low.test')
    for (const { id } of [www, below, beside]) await check(id)
    expect([await state(www.id), await state(below.id), await state(beside.id)]).toEqual([
      'verified',
      'verified',
      'pending',
    ])
    expect((await rig.domains.get(system, www.domainId)).state).toBe('pending')
  })

  test('another value is shown, several may stand side by side, CNAMEs are followed', async () => {
    const name = await rig.add('values.test')
    rig.dns.set('TXT', '_nameplate-challenge.values.test', ['nameplate-verify=0000'])
    const wrong = await check(name.id)
    expect(wrong.ownership.problem?.code).toBe('TXT_OTHER_VALUE')
    expect(wrong.ownership.problem?.detail).toContain('"nameplate-verify=0000"')
    const value = name.ownership.instructions[0]?.value ?? ''
    rig.dns.set('TXT', '_nameplate-challenge.values.test', [])
    rig.dns.set('CNAME', '_nameplate-challenge.values.test', ['elsewhere.test'])
    rig.dns.set('TXT', 'elsewhere.test', ['v=spf1 -all', value])
    expect((await check(name.id)).ownership.state).toBe('verified')
  })

  test('a DNS without an answer says so and proves nothing', async () => {
    const name = await rig.add('broken.test')
    rig.dns.fail('_nameplate-challenge.broken.test', 'servfail')
    expect((await check(name.id)).ownership).toMatchObject({ state: 'pending', problem: { code: 'DNS_UNANSWERED' } })
  })

  test('an IDN is proven by its ASCII name', async () => {
    const name = await rig.add('Bücher.Example')
    expect(name).toMatchObject({ name: 'xn--bcher-kva.example', unicodeName: 'bücher.example' })
    rig.dns.set('TXT', '_nameplate-challenge.xn--bcher-kva.example', [name.ownership.instructions[0]?.value ?? ''])
    expect((await check(name.id)).ownership.state).toBe('verified')
  })
})

describe('proof by HTTP', () => {
  test('proves that hostname alone, never a wildcard', async () => {
    const [www, apex, wildcard] = [
      await rig.add('www.http.test'),
      await rig.add('http.test'),
      await rig.add('*.http.test'),
    ]
    for (const name of ['www.http.test', 'http.test']) rig.dns.set('A', name, ['127.0.0.1'])
    const instruction = www.ownership.instructions.find(({ type }) => type === 'HTTP')
    rig.pages.set(instruction?.name ?? '', `${instruction?.value}\n`)
    for (const { id } of [www, apex, wildcard]) await check(id)
    expect([await state(www.id), await state(apex.id), await state(wildcard.id)]).toEqual([
      'verified',
      'pending',
      'pending',
    ])
    expect((await check(apex.id)).ownership.problem?.detail).toContain('status 404')
  })

  test('an address inside is never asked', async () => {
    const name = await rig.add('inside.test')
    rig.dns.set('A', 'inside.test', ['169.254.169.254'])
    expect((await check(name.id)).ownership.problem?.detail).toContain('not public')
  })
})

describe('two tenants', () => {
  test('an unproven claim blocks nobody; a proven name cannot be claimed', async () => {
    const squatter = await rig.add('rival.test', 'other')
    const owner = await rig.add('rival.test')
    rig.prove(owner)
    expect((await check(owner.id)).ownership.state).toBe('verified')
    rig.prove(squatter)
    const late = await check(squatter.id)
    expect(late.ownership).toMatchObject({ state: 'disputed', problem: { code: 'NAME_HELD' } })
    expect((await rig.domains.get(system, squatter.domainId)).state).toBe('disputed')
    await rig.hostnames.remove(system, squatter.id, {})
    await expect(rig.add('rival.test', 'other')).rejects.toMatchObject({ code: 'NAME_TAKEN' })
    await expect(rig.add('rival.test')).rejects.toMatchObject({ code: 'NAME_EXISTS' })
    expect(await state(owner.id)).toBe('verified')
  })

  test('a dispute whose own record is taken away is a mere claim again', async () => {
    const [owner, rival] = [await rig.add('again.test'), await rig.add('again.test', 'other')]
    rig.prove(owner)
    await check(owner.id)
    rig.prove(rival)
    expect((await check(rival.id)).ownership.state).toBe('disputed')
    rig.dns.clear()
    expect((await check(rival.id)).ownership.state).toBe('disputed')
    await age(rival.id, 5)
    expect((await check(rival.id)).ownership.state).toBe('pending')
  })

  test('when both prove it at the same moment exactly one wins', async () => {
    for (let round = 0; round < 5; round++) {
      const name = `race${round}.test`
      const claims = [await rig.add(name), await rig.add(name, 'other')]
      for (const claim of claims) rig.prove(claim)
      await Promise.all([...claims, ...claims].map(({ id }) => check(id)))
      const states = await Promise.all(claims.map(({ id }) => state(id)))
      expect(states.sort()).toEqual(['disputed', 'verified'])
    }
  })

  test('a name below a proven domain needs a proof of its own, and its owner hears of it, not of whom', async () => {
    const owner = await rig.add('parent.test')
    rig.prove(owner)
    await check(owner.id)
    const below = await rig.add('shop.parent.test', 'other')
    expect(below.ownership.instructions.map(({ name }) => name)).toEqual([
      '_nameplate-challenge.shop.parent.test',
      expect.stringContaining('http://shop.parent.test/'),
    ])
    const value = below.ownership.instructions[0]?.value ?? ''
    rig.dns.set('TXT', '_nameplate-challenge.parent.test', [
      ...rig.dns.get('TXT', '_nameplate-challenge.parent.test'),
      value,
    ])
    expect((await check(below.id)).ownership.state).toBe('pending')
    rig.prove(below, 'shop.parent.test')
    expect((await check(below.id)).ownership.state).toBe('verified')
    const told = await rig.api.db.event.findMany({
      where: { action: 'domain.subname_claimed', subjectId: owner.domainId },
    })
    expect(told.map(({ tenantId, detail }) => ({ tenantId, detail }))).toEqual([
      { tenantId: rig.api.tenantId, detail: { name: 'shop.parent.test' } },
    ])
    expect(JSON.stringify(told, (_, value) => (typeof value === 'bigint' ? String(value) : value))).not.toContain(
      rig.api.otherTenantId,
    )
  })
})

describe('time', () => {
  test('a record that is gone for three checks and three days lapses; the name stays until somebody else proves it', async () => {
    const name = await rig.add('gone.test')
    rig.prove(name)
    await check(name.id)
    const certificateId = await attach(name.id)
    rig.dns.clear()
    for (const code of ['TXT_GONE', 'TXT_GONE', 'TXT_GONE', 'TXT_GONE'])
      expect((await check(name.id)).ownership).toMatchObject({ state: 'verified', problem: { code } })
    await age(name.id, 3.1)
    expect((await check(name.id)).ownership.state).toBe('lapsed')
    expect((await rig.domains.get(system, name.domainId)).state).toBe('lapsed')
    expect(await rig.checker.recheckBeforeOrder(name.id)).toBe(false)
    rig.hookCalls.length = 0

    const rival = await rig.add('gone.test', 'other')
    expect((await check(rival.id)).ownership.state).toBe('pending')
    expect(await state(name.id)).toBe('lapsed')
    rig.prove(rival)
    expect((await check(rival.id)).ownership.state).toBe('verified')
    expect(await state(name.id)).toBe('released')
    expect(rig.hookCalls).toEqual([`retire ${certificateId}`])
    expect(await actions(name.id)).toEqual([
      'hostname.created',
      'hostname.verified',
      'hostname.lapsed',
      'hostname.released',
    ])
    rig.prove(name)
    expect((await check(name.id)).ownership.state).toBe('disputed')
  })

  test('a lapsed name whose record is back is verified again, and its certificate tried at once', async () => {
    const name = await rig.add('back.test')
    rig.prove(name)
    await check(name.id)
    const certificateId = await attach(name.id)
    rig.dns.clear()
    await age(name.id, 4)
    for (let round = 0; round < 3; round++) await check(name.id)
    expect(await state(name.id)).toBe('lapsed')
    rig.hookCalls.length = 0
    rig.prove(name)
    expect((await check(name.id)).ownership.state).toBe('verified')
    expect(rig.hookCalls).toContain(`retry ${certificateId}`)
  })

  test('a DNS that does not answer lets nothing lapse', async () => {
    const name = await rig.add('outage.test')
    rig.prove(name)
    await check(name.id)
    await age(name.id, 30)
    rig.dns.fail('_nameplate-challenge.outage.test', 'servfail')
    for (let round = 0; round < 4; round++) await check(name.id)
    expect(await state(name.id)).toBe('verified')
  })

  test('HTTP proofs and trusted names stay', async () => {
    const name = await rig.add('stay.test')
    rig.dns.set('A', 'stay.test', ['127.0.0.1'])
    const http = name.ownership.instructions.find(({ type }) => type === 'HTTP')
    rig.pages.set(http?.name ?? '', http?.value ?? '')
    await check(name.id)
    rig.pages.clear()
    await age(name.id, 30)
    for (let round = 0; round < 4; round++) expect((await check(name.id)).ownership.state).toBe('verified')
    expect(await rig.checker.recheckBeforeOrder(name.id)).toBe(true)
  })
})

describe('before an order', () => {
  test('a proof of minutes ago needs no look; an older one is looked at', async () => {
    const name = await rig.add('order.test')
    expect(await rig.checker.recheckBeforeOrder(name.id)).toBe(false)
    rig.prove(name)
    await check(name.id)
    const asked = rig.dns.questions.length
    expect(await rig.checker.recheckBeforeOrder(name.id)).toBe(true)
    expect(rig.dns.questions.length).toBe(asked)
    await age(name.id, 1)
    expect(await rig.checker.recheckBeforeOrder(name.id)).toBe(true)
    expect(rig.dns.questions.length).toBeGreaterThan(asked)
  })

  test('no record: no order; no answer: a proof seen within three days counts', async () => {
    const name = await rig.add('reorder.test')
    rig.prove(name)
    await check(name.id)
    await age(name.id, 1)
    rig.dns.fail('_nameplate-challenge.reorder.test', 'servfail')
    expect(await rig.checker.recheckBeforeOrder(name.id)).toBe(true)
    await age(name.id, 4)
    expect(await rig.checker.recheckBeforeOrder(name.id)).toBe(false)
    await age(name.id, 1)
    rig.dns.clear()
    expect(await rig.checker.recheckBeforeOrder(name.id)).toBe(false)
    expect(await state(name.id)).toBe('verified')
  })

  test('a hostname that does not exist has no proof', async () => {
    expect(await rig.checker.recheckBeforeOrder('0190a0a0-0000-7000-8000-000000000000')).toBe(false)
  })
})

describe('removal', () => {
  test('ends the certificate and the proofs of that very name', async () => {
    const name = await rig.hostnames.create(
      system,
      { name: 'removed.test', siteId: rig.sites.own, ownership: 'trusted' },
      {},
    )
    expect(name.ownership.state).toBe('verified')
    const certificateId = await attach(name.id)
    await expect(rig.domains.remove(system, name.domainId, {})).rejects.toMatchObject({ code: 'IN_USE' })
    await rig.hostnames.remove(system, name.id, { dryRun: true })
    expect(await state(name.id)).toBe('verified')
    rig.hookCalls.length = 0
    await rig.hostnames.remove(system, name.id, {})
    expect(rig.hookCalls).toEqual([`retire ${certificateId}`])
    expect((await rig.add('removed.test')).ownership.state).toBe('pending')
  })
})

test("the panel's own name: made once, moved with its site, refused when a tenant has proven it", async () => {
  const { db, tenantId } = rig.api
  const ensure = (siteId: string, name = 'panel.own.test') =>
    db.$transaction((tx) => ensureTrustedHostname(tx, rig.hooks, { tenantId, siteId, name }))
  const id = await ensure(rig.sites.own)
  expect(await ensure(rig.sites.own)).toBe(id)
  expect(await ensure(rig.sites.second)).toBe(id)
  expect(await rig.hostnames.get(system, id)).toMatchObject({
    siteId: rig.sites.second,
    ownership: { state: 'verified' },
  })
  const taken = await rig.add('taken.test', 'other')
  rig.prove(taken)
  await check(taken.id)
  await expect(ensure(rig.sites.own, 'taken.test')).rejects.toMatchObject({ code: 'NAME_TAKEN' })
})

test('as many creates at once as the pool has connections, and more, do not wait for each other', async () => {
  rig.prove(await rig.add('crowd.test'))
  await rig.checker.checkNow((await rig.add('first.crowd.test')).domainId, [])
  const names = Array.from({ length: 30 }, (_, index) => `n${index}.crowd${index}.test`)
  const parents = await Promise.all(names.map((_, index) => rig.add(`crowd${index}.test`)))
  for (const parent of parents) rig.prove(parent)
  for (const parent of parents) await rig.checker.checkNow(parent.domainId, [parent.id])
  const made = await Promise.all(names.map((name) => rig.add(name)))
  expect(made.map((hostname) => hostname.ownership.state)).toEqual(names.map(() => 'verified'))
})
