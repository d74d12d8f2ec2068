import { createPrivateKey } from 'node:crypto'
import { crypto } from 'acme-client'
import { expect, test } from 'vitest'
import { generateKeyPem } from '../../control/certificates/keys.ts'
import { isChain, opensslVerify, splitChain } from './chains.ts'
import type { AnswerFault } from './faults.ts'
import {
  type Answered,
  type ChallengeWeb,
  call,
  finish,
  issueByHttp,
  order,
  problemType,
  proveByHttp,
  registeredClient,
  send,
  startChallengeWeb,
  type TestClient,
} from './rig.ts'
import { type AcmeServer, startAcmeServer } from './server.ts'

type Rig = { ca: AcmeServer; web: ChallengeWeb; client: TestClient; newOrder: () => Promise<Answered> }

async function withRig(work: (rig: Rig) => Promise<void>): Promise<void> {
  await using web = await startChallengeWeb()
  await using ca = await startAcmeServer({ httpPort: web.port })
  const client = await registeredClient(ca)
  const url = `${ca.directoryUrl.replace('/directory', '')}/acme/new-order`
  const payload = { identifiers: [{ type: 'dns', value: 'shop.test' }] }
  const newOrder = () => send(ca, { url, payload, keyPem: client.accountPem, kid: client.getAccountUrl() })
  await work({ ca, web, client, newOrder })
}

test.each<[AnswerFault, object]>([
  [
    { kind: 'status', status: 503, retryAfter: '120' },
    { status: 503, headers: { 'retry-after': '120' } },
  ],
  [
    { kind: 'status', status: 500, body: 'oops' },
    { status: 500, text: 'oops' },
  ],
  [
    { kind: 'html' },
    { status: 200, text: expect.stringContaining('<html>'), headers: { 'content-type': 'text/html' } },
  ],
  [
    { kind: 'redirect', location: 'http://169.254.169.254/' },
    { status: 302, headers: { location: 'http://169.254.169.254/' } },
  ],
  [{ kind: 'wrong-json' }, { status: 200, text: '{"status":"val' }],
  [
    { kind: 'wrong-json', body: '[7]' },
    { status: 200, data: [7] },
  ],
  [
    {
      kind: 'problem',
      type: 'caa',
      detail: 'CAA forbids',
      subproblems: [{ type: 'caa', detail: 'x', identifier: { type: 'dns', value: 'shop.test' } }],
    },
    {
      status: 403,
      data: {
        type: 'urn:ietf:params:acme:error:caa',
        subproblems: [{ type: 'urn:ietf:params:acme:error:caa', identifier: { value: 'shop.test' } }],
      },
    },
  ],
])('%o: once, before the request takes effect', (fault, expected) =>
  withRig(async ({ ca, newOrder }) => {
    const set = ca.faults.set('newOrder', fault, { times: 1 })
    const answer = await newOrder()
    expect(answer).toMatchObject(expected)
    if (!('retryAfter' in fault)) expect(answer.headers).not.toHaveProperty('retry-after')
    expect([set.hits, ca.log.of('order').length]).toEqual([1, 0])
    expect((await newOrder()).status).toBe(201)
    expect(ca.log.of('fault')).toMatchObject([{ call: 'newOrder', fault: fault.kind }])
  }),
)

test('10 MB come where JSON is due', () =>
  withRig(async ({ ca, newOrder }) => {
    ca.faults.set('newOrder', { kind: 'huge' }, { times: 1 })
    expect((await newOrder()).text.length).toBe(10_000_002)
  }))

test('silence, closed connections and slow answers, before and after the effect', () =>
  withRig(async ({ ca, client, newOrder }) => {
    const url = ca.directoryUrl
    ca.faults.set('directory', { kind: 'silence' }, { times: 1 })
    await expect(call(ca, url, 'GET', undefined, 300)).rejects.toThrow(/no answer in time/)
    ca.faults.set('directory', { kind: 'close' }, { times: 1 })
    await expect(call(ca, url, 'GET')).rejects.toThrow(/hang up|ECONNRESET/)
    ca.faults.set('directory', { kind: 'slow', delayMs: 600 }, { times: 1 })
    await expect(call(ca, url, 'GET', undefined, 200)).rejects.toThrow(/no answer in time/)
    expect((await call(ca, url, 'GET')).status).toBe(200)

    ca.faults.set('newOrder', { kind: 'close' }, { times: 1, isAfterEffect: true })
    await expect(newOrder()).rejects.toThrow(/hang up|ECONNRESET/)
    ca.faults.set('newOrder', { kind: 'slow', delayMs: 1 }, { times: 1, isAfterEffect: true })
    expect((await newOrder()).status).toBe(201)
    expect(ca.log.of('order')).toHaveLength(2)
    const set = ca.faults.set('any', { kind: 'status', status: 502 })
    await expect(order(client, ['shop.test'])).rejects.toThrow()
    set.remove()
    expect((await newOrder()).status).toBe(201)
  }))

test('a rate decides by the random numbers that are given', async () => {
  let turn = 0
  await using ca = await startAcmeServer({ random: () => [0.1, 0.6][turn++ % 2] ?? 0 })
  ca.faults.set('directory', { kind: 'status', status: 500 }, { rate: 0.5 })
  const statuses: number[] = []
  for (let count = 0; count < 4; count++) statuses.push((await call(ca, ca.directoryUrl, 'GET')).status)
  expect(statuses).toEqual([500, 200, 500, 200])
  ca.faults.clear()
  expect((await call(ca, ca.directoryUrl, 'GET')).status).toBe(200)
})

test('the clock of the CA is off by hours', () =>
  withRig(async ({ ca }) => {
    ca.faults.set('directory', { kind: 'clock-skew', byMs: -5 * 3_600_000 }, { times: 1 })
    const offBy = async (): Promise<number> =>
      Date.parse((await call(ca, ca.directoryUrl, 'GET')).headers.date ?? '') - Date.now()
    expect(await offBy()).toBeLessThan(-4 * 3_600_000)
    expect(Math.abs(await offBy())).toBeLessThan(3_600_000)
  }))

test('an order is lost: 404; an account is lost: accountDoesNotExist, and it is made anew', () =>
  withRig(async ({ ca, client, newOrder }) => {
    const placed = await order(client, ['shop.test'])
    ca.faults.set('order', { kind: 'order-lost' }, { times: 1 })
    const read = () =>
      send(ca, { url: placed.url, payload: null, keyPem: client.accountPem, kid: client.getAccountUrl() })
    expect((await read()).status).toBe(404)
    expect((await read()).status).toBe(404)
    ca.faults.set('newOrder', { kind: 'account-lost' }, { times: 1 })
    expect(problemType(await newOrder())).toBe('accountDoesNotExist')
    expect(problemType(await newOrder())).toBe('accountDoesNotExist')
    const created = await send(ca, {
      url: `${ca.directoryUrl.replace('/directory', '')}/acme/new-account`,
      payload: { termsOfServiceAgreed: true },
      keyPem: client.accountPem,
    })
    expect(created.status).toBe(201)
    expect(created.headers.location).not.toBe(client.getAccountUrl())
  }))

test('an order that is stuck stays in processing', () =>
  withRig(async ({ ca, web, client }) => {
    ca.faults.set('issuance', { kind: 'stuck' }, { times: 1 })
    const placed = await order(client, ['shop.test'])
    await proveByHttp(client, web, placed)
    const [, csr] = await crypto.createCsr({ altNames: ['shop.test'] }, await generateKeyPem())
    expect(await client.finalizeOrder(placed, csr)).toMatchObject({ status: 'processing' })
    expect(await client.getOrder(placed)).toMatchObject({ status: 'processing' })
    expect(ca.log.of('issued')).toHaveLength(0)
  }))

test('a validation fails although the challenge is met, or is never decided', () =>
  withRig(async ({ ca, web, client }) => {
    ca.faults.set('validation', { kind: 'failed', type: 'dns', detail: 'SERVFAIL from afar' }, { times: 1 })
    await expect(issueByHttp(client, web, ['shop.test'])).rejects.toThrow(/SERVFAIL from afar/)
    ca.faults.set('validation', { kind: 'stuck' }, { times: 1 })
    const [authorization] = await client.getAuthorizations(await order(client, ['shop.test']))
    const challenge = authorization?.challenges[0]
    await client.completeChallenge(challenge as never)
    await issueByHttp(client, web, ['shop.test'])
    const read = await send(ca, {
      url: authorization?.url ?? '',
      payload: null,
      keyPem: client.accountPem,
      kid: client.getAccountUrl(),
    })
    expect(read).toMatchObject({ data: { status: 'pending' }, headers: { 'retry-after': '1' } })
    expect((read.data as { challenges: object[] }).challenges[0]).toMatchObject({ status: 'processing' })
  }))

test('certificates that are wrong, each in one way', () =>
  withRig(async ({ ca, web, client }) => {
    const names = ['shop.test', 'www.shop.test']
    const [root] = ca.rootPems
    const issue = async () => {
      const { pem, keyPem } = await issueByHttp(client, web, names)
      const leaf = splitChain(pem)[0] ?? expect.fail('no leaf')
      return { pem, leaf, fits: leaf.checkPrivateKey(createPrivateKey(keyPem)), says: opensslVerify(pem, root) }
    }
    ca.faults.set('issuance', { kind: 'other-key' }, { times: 1 })
    expect(await issue()).toMatchObject({ fits: false, says: 'OK' })
    ca.faults.set('issuance', { kind: 'missing-name' }, { times: 1 })
    const lacking = await issue()
    expect([lacking.leaf.subjectAltName, lacking.says]).toEqual(['DNS:shop.test', 'OK'])
    ca.faults.set('issuance', { kind: 'future-not-before', shiftMs: 3_600_000 }, { times: 1 })
    const early = await issue()
    expect(early.says).toContain('not yet valid')
    expect(early.leaf.validFromDate.getTime()).toBeGreaterThan(Date.now() + 3_000_000)
    ca.faults.set('issuance', { kind: 'expired-chain' }, { times: 1 })
    expect((await issue()).says).toContain('has expired')
    ca.faults.set('issuance', { kind: 'wrong-intermediate' }, { times: 1 })
    const wrong = await issue()
    expect([isChain(wrong.pem, root), wrong.says]).toEqual([
      false,
      expect.stringContaining('unable to get local issuer'),
    ])
    expect(await issue()).toMatchObject({ fits: true, says: 'OK' })
  }))

test('a restart keeps everything, or forgets all but its roots', () =>
  withRig(async ({ ca, web, client, newOrder }) => {
    const placed = await order(client, ['shop.test'])
    await ca.stop()
    await expect(call(ca, ca.directoryUrl, 'GET')).rejects.toThrow(/ECONNREFUSED/)
    await ca.start()
    await ca.restart({ forget: false })
    await proveByHttp(client, web, placed)
    const { pem } = await finish(client, placed, ['shop.test'])
    expect(opensslVerify(pem, ca.rootPems[0])).toBe('OK')
    await ca.restart({ forget: true })
    expect(problemType(await newOrder())).toBe('accountDoesNotExist')
    const anew = await registeredClient(ca)
    const second = await issueByHttp(anew, web, ['shop.test'])
    expect(opensslVerify(second.pem, ca.rootPems[0])).toBe('OK')
    expect(ca.log.of('issued')).toHaveLength(2)
  }))
