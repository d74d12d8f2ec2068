import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createReach } from '../../../contract/reach.ts'
import { startTestDns } from '../../../test/dns.ts'
import { type SignedZones, startSignedZones } from '../../../test/signed-zones.ts'
import { createDialler } from '../../outbound/dialler.ts'
import { createDnsClient } from '../../outbound/dns-client.ts'
import { judge } from './findings.ts'
import { gather } from './gather.ts'

// Knot signs, Unbound checks: what a validating resolver really answers.
let zones: SignedZones
beforeAll(async () => {
  zones = await startSignedZones({
    'signed.test': { isSigned: true, records: ['www A 127.0.0.1', '@ CAA 0 issue "letsencrypt.org"'] },
    'plain.test': { records: ['www A 127.0.0.1'] },
    'unsigned.test': { hasWrongAnchor: true, records: ['www A 127.0.0.1'] },
    'stale.test': {
      isSigned: true,
      hasWrongAnchor: true,
      records: ['www A 127.0.0.1', 'alias CNAME www.signed.test.'],
    },
    'parent.test': {
      records: [
        'child NS ns1.child',
        'ns1.child A 127.0.0.3',
        'lame NS ns1.lame',
        'ns1.lame A 127.0.0.2',
        'dead NS ns1.dead',
        'ns1.dead A 127.0.0.9',
      ],
    },
  })
}, 60_000)
afterAll(() => zones[Symbol.asyncDispose]())

function look(name: string) {
  const reach = createReach(['127.0.0.0/8'])
  const dnsServers = [zones.resolver]
  const dns = createDnsClient({ reach, dnsServers, dnsPort: zones.port })
  const dialler = createDialler({ reach, dnsServers })
  const right = { addresses: ['127.0.0.1'], cnameTarget: null }
  return gather({ dialler, dns }, { name, right, isProbed: false, clockSkewMs: null })
}
const finding = async (name: string, prefix: string) =>
  judge(await look(name), []).findings.find(({ code }) => code.startsWith(prefix))

test('signatures that hold, and a zone without', async () => {
  expect(await finding('www.signed.test', 'DNSSEC')).toMatchObject({
    status: 'ok',
    detail: expect.stringContaining('hold'),
  })
  expect(await finding('www.signed.test', 'CAA')).toMatchObject({ code: 'CAA', status: 'ok' })
  expect(await finding('www.plain.test', 'DNSSEC')).toMatchObject({ status: 'ok', detail: 'The zone is not signed.' })
})

test.each(['www.stale.test', 'www.unsigned.test', 'alias.stale.test'])(
  '%s: a DS record of another key',
  async (name) => {
    expect(await finding(name, 'DNSSEC')).toMatchObject({
      code: 'DNSSEC_BROKEN',
      status: 'problem',
      detail: expect.stringMatching(
        /The resolver says: (the zone has no key that fits its DS record|signatures do not fit)/,
      ),
      fix: expect.stringContaining('DS record'),
    })
  },
)

test('broken signatures hide nothing else: the addresses are seen at the name servers', async () => {
  const seen = await look('www.stale.test')
  expect(seen.route).toMatchObject({ zone: 'stale.test', isByResolver: false, v4: { addresses: ['127.0.0.1'] } })
})

describe('delegations', () => {
  test('where the resolver fails, the parent says who is asked (a referral)', async () => {
    await using child = await startTestDns({ host: '127.0.0.3', port: zones.port, isAuthoritative: true })
    child.set('SOA', 'child.parent.test', ['ns1.child.parent.test'])
    child.set('A', 'www.child.parent.test', ['127.0.0.7'])
    // Unbound asks 127.0.0.3 at port 53, where nothing listens, and so fails at the child alone.
    const { route } = await look('www.child.parent.test')
    expect(route).toMatchObject({
      zone: 'child.parent.test',
      isByResolver: false,
      v4: { kind: 'found', addresses: ['127.0.0.7'] },
      views: [{ server: 'ns1.child.parent.test' }],
    })
    expect(child.questions).toEqual(['A www.child.parent.test', 'AAAA www.child.parent.test'])
  })

  test.each([
    ['lame', /lame|REFUSED/],
    ['dead', /nothing answers|no answer in time/],
  ])('to a server that does not know the zone, or is not there: %s', async (label, reason) => {
    const { route } = await look(`www.${label}.parent.test`)
    const name = `${label}.parent.test`
    expect(route.unreachable).toEqual([{ zone: name, server: `ns1.${name}`, reason: expect.stringMatching(reason) }])
  })
})
