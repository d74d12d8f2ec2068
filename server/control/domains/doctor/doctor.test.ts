import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { createDomainRig, type DomainRig } from '../../../test/domains.ts'
import type { Diagnosis } from '../schema.ts'
import type { DoctorIssuer } from './observation.ts'
import { createTurns } from './turns.ts'

let rig: DomainRig
beforeAll(async () => {
  rig = await createDomainRig()
})
afterAll(() => rig[Symbol.asyncDispose]())
beforeEach(() => {
  rig.dns.clear()
  rig.pages.clear()
  rig.issuers.length = 0
  rig.targets.publicAddresses.splice(0, 10, '127.0.0.1')
  rig.targets.doctor.httpProbe = false
})

const issuer: DoctorIssuer = {
  id: 'le',
  name: "Let's Encrypt",
  caaIdentities: ['letsencrypt.org'],
  accountUrl: 'https://ca.example/acct/1',
  methods: ['http-01', 'tls-alpn-01'],
}
const zerossl: DoctorIssuer = { ...issuer, id: 'zs', name: 'ZeroSSL', caaIdentities: ['sectigo.com'] }
const issuers = [issuer, zerossl]

describe('before a first order', () => {
  const preflight = async (name: string, some = issuers) => {
    const { blocking, permittedIssuerIds } = await rig.doctor.preflight(
      { name, siteId: rig.sites.own },
      { issuers: some },
    )
    return [blocking?.code ?? null, ...permittedIssuerIds]
  }

  test('a name that leads here goes on', async () => {
    rig.dns.set('A', 'good.test', ['127.0.0.1'])
    expect(await preflight('good.test')).toEqual([null, 'le', 'zs'])
  })

  test('a hostname is known by its id; one that is gone is NOT_FOUND', async () => {
    const hostname = await rig.add('byid.test')
    rig.dns.set('A', 'byid.test', ['198.51.100.1'])
    const { blocking } = await rig.doctor.preflight({ hostnameId: hostname.id }, { issuers })
    expect(blocking).toMatchObject({ code: 'ADDRESS_V4', fix: expect.stringContaining('"byid.test. A 127.0.0.1"') })
    const gone = rig.doctor.preflight({ hostnameId: rig.sites.own }, { issuers })
    await expect(gone).rejects.toMatchObject({ code: 'NOT_FOUND' })
  })

  test.each<[string, () => void, (string | null)[]]>([
    ['elsewhere', () => rig.dns.set('A', 'x.test', ['198.51.100.1']), ['ADDRESS_V4', 'le', 'zs']],
    ['no such name', () => undefined, ['NAME_MISSING', 'le', 'zs']],
    [
      'one CA is forbidden',
      () => {
        rig.dns.set('A', 'x.test', ['127.0.0.1'])
        rig.dns.set('CAA', 'x.test', ['0 issue sectigo.com'])
      },
      [null, 'zs'],
    ],
    [
      'every CA is forbidden',
      () => {
        rig.dns.set('A', 'x.test', ['127.0.0.1'])
        rig.dns.set('CAA', 'test', ['0 issue other.example'])
      },
      ['CAA_FORBIDS'],
    ],
    [
      'signatures that do not hold',
      () => {
        rig.dns.set('A', 'x.test', ['127.0.0.1'])
        rig.dns.fail('x.test', 'bogus')
      },
      ['DNSSEC_BROKEN', 'le', 'zs'],
    ],
    ['no answer from anybody', () => rig.dns.fail('x.test', 'servfail'), [null, 'le', 'zs']],
  ])('%s', async (_, arrange, expected) => {
    arrange()
    expect(await preflight('x.test')).toEqual(expected)
  })

  test('another server on port 80, unless the test is switched off', async () => {
    rig.pages.set(`http://x.test/`, 'home')
    rig.dns.set('A', 'x.test', ['127.0.0.1'])
    const byHttp = [{ ...issuer, methods: ['http-01'] as const }]
    rig.targets.doctor.httpProbe = true
    const tried = await rig.doctor.preflight({ name: 'x.test', siteId: rig.sites.own }, { issuers: byHttp })
    // The web server of the rig says 404 for unknown paths, as an older listener would.
    expect(tried.findings.find(({ code }) => code.startsWith('PORT_80'))).toMatchObject({
      code: 'PORT_80_OTHER_SERVER',
      status: 'warning',
    })
    expect(tried.blocking).toBeNull()
    rig.targets.publicAddresses.splice(0, 1, '192.0.2.1')
    expect(await preflight('x.test', byHttp)).toEqual(['ADDRESS_V4', 'le'])
    rig.targets.doctor.httpProbe = false
    const untried = await rig.doctor.preflight({ name: 'x.test', siteId: rig.sites.own }, { issuers: byHttp })
    expect(untried.findings.find(({ code }) => code === 'PORT_80')?.status).toBe('unknown')
  })

  test('what the CNAME target leads to, and the addresses of the site itself, are right', async () => {
    rig.dns.set('A', 'x.test', ['198.51.100.7'])
    expect(await preflight('x.test')).toEqual(['ADDRESS_V4', 'le', 'zs'])
    const address = await rig.api.db.address.create({
      data: {
        address: '10.9.8.7',
        publicAddress: '198.51.100.7',
        use: 'dedicated',
        state: 'allocated',
        siteId: rig.sites.own,
      },
    })
    expect(await preflight('x.test')).toEqual([null, 'le', 'zs'])
    await rig.api.db.address.delete({ where: { id: address.id } })
  })

  test('a signal that has come blocks nothing', async () => {
    rig.dns.set('A', 'x.test', ['198.51.100.1'])
    const { blocking, permittedIssuerIds } = await rig.doctor.preflight(
      { name: 'x.test', siteId: rig.sites.own },
      { issuers, signal: AbortSignal.abort(), clockSkewMs: 600_000 },
    )
    expect([blocking, ...permittedIssuerIds]).toEqual([null, 'le', 'zs'])
  })
})

describe('whereabouts', () => {
  test.each<[string, () => void, string]>([
    ['here', () => rig.dns.set('A', 'w.test', ['198.51.100.1', '127.0.0.1']), 'here'],
    ['elsewhere', () => rig.dns.set('A', 'w.test', ['198.51.100.1']), 'elsewhere'],
    ['behind a CDN', () => rig.dns.set('A', 'w.test', ['104.16.1.1']), 'unknown'],
    ['gone', () => undefined, 'gone'],
    ['no answer', () => rig.dns.fail('w.test', 'servfail'), 'unknown'],
    [
      'half an answer, elsewhere',
      () => {
        rig.dns.set('A', 'w.test', ['198.51.100.1'])
        rig.dns.fail('w.test', 'servfail', 'AAAA')
      },
      'unknown',
    ],
    [
      'half an answer, here',
      () => {
        rig.dns.set('A', 'w.test', ['127.0.0.1'])
        rig.dns.fail('w.test', 'servfail', 'AAAA')
      },
      'here',
    ],
    [
      'nothing to compare with',
      () => {
        rig.targets.publicAddresses.length = 0
        rig.dns.set('A', 'w.test', ['198.51.100.1'])
      },
      'unknown',
    ],
  ])('%s', async (_, arrange, expected) => {
    arrange()
    expect(await rig.doctor.whereabouts({ name: 'w.test', siteId: rig.sites.own })).toBe(expected)
  })

  test('of a wildcard is that of a name below it', async () => {
    rig.dns.set('A', 'nameplate-check.w.test', ['127.0.0.1'])
    expect(await rig.doctor.whereabouts({ name: '*.w.test', siteId: rig.sites.own })).toBe('here')
  })

  test('of a hostname, and of one that is gone', async () => {
    const { id } = await rig.add('w.byid.test')
    rig.dns.set('A', 'w.byid.test', ['127.0.0.1'])
    expect(await rig.doctor.whereabouts({ hostnameId: id })).toBe('here')
    expect(await rig.doctor.whereabouts({ hostnameId: rig.sites.own })).toBe('unknown')
  })
})

describe('the diagnosis', () => {
  const diagnose = async (id: string) => {
    const answer = await rig.api.as('viewer').inject({ method: 'GET', url: `/hostnames/${id}/diagnosis` })
    return { status: answer.statusCode, ...answer.json<Diagnosis>() }
  }

  test('holds what the doctor finds, with the record to change, between ownership and certificate', async () => {
    rig.issuers.push(...issuers)
    rig.dns.set('A', 'd.test', ['127.0.0.1'])
    rig.dns.set('AAAA', 'd.test', ['2001:db8::99'])
    rig.dns.set('CAA', 'd.test', ['0 issue sectigo.com; validationmethods=dns-01', '0 iodef mailto:a@d.test'])
    const hostname = await rig.add('d.test')
    const { ok, checks } = await diagnose(hostname.id)
    expect(ok).toBe(false)
    expect(checks.map(({ code }) => code)).toEqual([
      'OWNERSHIP',
      'DNSSEC',
      'CAA_FORBIDS',
      'ADDRESS_V4',
      'STRAY_AAAA',
      'PORT_80',
      'CERTIFICATE',
      'LIVE',
      'PROBE',
    ])
    expect(checks.find(({ code }) => code === 'CAA_FORBIDS')).toEqual({
      code: 'CAA_FORBIDS',
      status: 'problem',
      detail: expect.stringContaining('ZeroSSL is bound to other ways of proof'),
      fix: 'Add the record d.test. CAA 0 issue "letsencrypt.org".',
    })
    expect(checks.find(({ code }) => code === 'STRAY_AAAA')?.fix).toBe('Remove the record "d.test. AAAA 2001:db8::99".')
    // No code twice: pages key by it.
    expect(new Set(checks.map(({ code }) => code)).size).toBe(checks.length)
  })

  test('shows nothing of what a name holds as more than text', async () => {
    rig.issuers.push(issuer)
    rig.dns.set('A', 'evil.test', ['127.0.0.1'])
    rig.dns.set('CAA', 'evil.test', [`0 issue <script>${'"\u0001\u00ff\n'.repeat(60)}`])
    const { checks } = await diagnose((await rig.add('evil.test')).id)
    const text = checks.find(({ code }) => code === 'CAA_FORBIDS')?.detail ?? ''
    expect(text).toMatch(/^[\x20-\x7e]+$/)
  })

  test('is refused while too much of it runs for one tenant', async () => {
    const hostname = await rig.add('busy.test')
    rig.dns.fail('busy.test', 'silence')
    const statuses = (await Promise.all(Array.from({ length: 6 }, () => diagnose(hostname.id)))).map(
      ({ status }) => status,
    )
    expect(statuses.filter((status) => status === 429)).toHaveLength(2)
    expect(statuses.filter((status) => status === 200)).toHaveLength(4)
  }, 30_000)

  test('turns are given back, after failures too', async () => {
    const turns = createTurns(2, 1)
    const failing = Promise.withResolvers<void>()
    const fail = turns('a', () => failing.promise)
    await expect(turns('a', async () => 1)).rejects.toMatchObject({ code: 'TOO_MANY_REQUESTS' })
    const held = Promise.withResolvers<void>()
    const other = turns('b', () => held.promise)
    await expect(turns('c', async () => 1)).rejects.toMatchObject({ code: 'TOO_MANY_REQUESTS' })
    failing.reject(new Error('no'))
    await expect(fail).rejects.toThrow('no')
    expect(await turns('a', async () => 1)).toBe(1)
    held.resolve()
    await other
  })
})
