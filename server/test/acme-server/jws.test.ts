import { execFileSync } from 'node:child_process'
import { expect, test } from 'vitest'
import { generateKeyPem } from '../../control/certificates/keys.ts'
import {
  type Crafted,
  call,
  craft,
  createClient,
  freshNonce,
  order,
  problemType,
  registeredClient,
  send,
  startChallengeWeb,
} from './rig.ts'
import { type AcmeServer, startAcmeServer } from './server.ts'

type Rig = { ca: AcmeServer; keyPem: string; kid: string; url: string }

async function withAccount(work: (rig: Rig) => Promise<void>): Promise<void> {
  await using ca = await startAcmeServer({})
  const client = await registeredClient(ca)
  const kid = client.getAccountUrl()
  await work({ ca, keyPem: client.accountPem, kid, url: kid })
}

/** A request for the account's own resource, right but for what is given. */
const read = (rig: Rig, more: Partial<Crafted> = {}): Crafted => ({
  url: rig.url,
  payload: null,
  keyPem: rig.keyPem,
  kid: rig.kid,
  ...more,
})

test('a request that is right in all parts is answered', () =>
  withAccount(async (rig) => {
    const answer = await send(rig.ca, read(rig))
    expect(answer).toMatchObject({ status: 200, data: { status: 'valid' } })
    expect(answer.headers['replay-nonce']).toMatch(/^[A-Za-z0-9_-]+$/)
    expect(answer.headers.link).toContain(`<${rig.ca.directoryUrl}>;rel="index"`)
  }))

const elsewhere = 'https://127.0.0.1:1/acme/account/x'
test.each<[string, (rig: Rig) => Partial<Crafted> | Promise<Partial<Crafted>>, number, string]>([
  ['no nonce', () => ({ header: { nonce: undefined } }), 400, 'badNonce'],
  ['a nonce of its own making', () => ({ header: { nonce: 'AAAAAAAAAAAAAAAA' } }), 400, 'badNonce'],
  ['another URL in the header', () => ({ header: { url: elsewhere } }), 401, 'unauthorized'],
  ['no URL in the header', () => ({ header: { url: undefined } }), 401, 'unauthorized'],
  ['both kid and jwk', () => ({ header: { jwk: { kty: 'EC' } } }), 400, 'malformed'],
  ['neither kid nor jwk', () => ({ header: { kid: undefined } }), 400, 'malformed'],
  ['a jwk where an account is due', ({ keyPem }) => ({ keyPem, kid: undefined as never }), 400, 'malformed'],
  ['an account of another server', () => ({ kid: elsewhere }), 400, 'malformed'],
  ['an account that is not there', ({ kid }) => ({ kid: `${kid}x` }), 400, 'accountDoesNotExist'],
  ["another key's signature", async () => ({ keyPem: await generateKeyPem() }), 400, 'malformed'],
  ['alg none', () => ({ header: { alg: 'none' } }), 400, 'badSignatureAlgorithm'],
  ['alg HS256', () => ({ header: { alg: 'HS256' } }), 400, 'badSignatureAlgorithm'],
  ["another key type's alg", () => ({ header: { alg: 'RS256' } }), 400, 'badSignatureAlgorithm'],
  ['crit', () => ({ header: { crit: ['exp'] } }), 400, 'malformed'],
  [
    'a payload in a read of an order',
    ({ kid }) => ({ url: kid.replace('account', 'orders'), payload: {} }),
    400,
    'malformed',
  ],
])('%s is refused', (_what, spoil, status, type) =>
  withAccount(async (rig) => {
    const { kid, ...more } = { kid: rig.kid, ...(await spoil(rig)) }
    const answer = await send(rig.ca, {
      ...read(rig),
      ...more,
      ...(kid === undefined ? { kid: undefined as never } : { kid }),
    })
    expect([answer.status, problemType(answer)]).toEqual([status, type])
    expect(answer.headers['content-type']).toBe('application/problem+json')
    expect(answer.headers['replay-nonce']).toBeDefined()
  }),
)

test('a nonce serves once', () =>
  withAccount(async (rig) => {
    const nonce = await freshNonce(rig.ca)
    expect((await send(rig.ca, read(rig, { nonce }))).status).toBe(200)
    expect(problemType(await send(rig.ca, read(rig, { nonce })))).toBe('badNonce')
  }))

test.each<[string, (jws: Record<string, unknown>) => unknown]>([
  ['a signature cut short', (jws) => ({ ...jws, signature: String(jws.signature).slice(0, -4) })],
  ['an unprotected header', (jws) => ({ ...jws, header: {} })],
  ['several signatures', (jws) => ({ ...jws, signatures: [] })],
  ['padded base64', (jws) => ({ ...jws, payload: 'e30=' })],
  ['base64 with + and /', (jws) => ({ ...jws, signature: '+/+/' })],
  ['no payload', ({ payload: _, ...jws }) => jws],
  ['a protected header that is no object', (jws) => ({ ...jws, protected: Buffer.from('[]').toString('base64url') })],
  ['a list', () => []],
  ['a number', () => 7],
])('%s is malformed', (_what, spoil) =>
  withAccount(async (rig) => {
    const jws = craft({ ...read(rig), nonce: await freshNonce(rig.ca) })
    expect(problemType(await call(rig.ca, rig.url, 'POST', spoil(jws)))).toBe('malformed')
  }),
)

test('methods, media type and size are checked', () =>
  withAccount(async ({ ca, url }) => {
    expect(await call(ca, url, 'GET')).toMatchObject({ status: 405, headers: { allow: 'POST' } })
    expect(await call(ca, ca.directoryUrl, 'DELETE')).toMatchObject({ status: 405 })
    expect(await call(ca, url, 'POST', 'x'.repeat(70_000))).toMatchObject({ status: 413 })
    expect(await call(ca, `${ca.directoryUrl}/x`, 'GET')).toMatchObject({ status: 404 })
    const reply = await new Promise<number>((resolve, reject) => {
      import('node:https').then(({ request }) => {
        const headers = { 'content-type': 'application/json' }
        const outgoing = request(url, { method: 'POST', ca: ca.caPem, headers }, (answer) =>
          resolve(answer.resume().statusCode ?? 0),
        )
        outgoing.on('error', reject).end('{}')
      }, reject)
    })
    expect(reply).toBe(415)
  }))

test('newNonce: HEAD 200, GET 204, never stored', async () => {
  await using ca = await startAcmeServer({})
  const { newNonce } = (await call(ca, ca.directoryUrl, 'GET')).data as { newNonce: string }
  const [head, get] = [await call(ca, newNonce, 'HEAD'), await call(ca, newNonce, 'GET')]
  expect([head.status, get.status]).toEqual([200, 204])
  expect(head.headers['cache-control']).toBe('no-store')
  expect(head.headers['replay-nonce']).not.toBe(get.headers['replay-nonce'])
})

test('RSA account keys from 2048 bits are taken, smaller ones and other curves are not', async () => {
  await using ca = await startAcmeServer({})
  const rsa = (bits: number): string =>
    execFileSync('openssl', ['genrsa', String(bits)], { encoding: 'utf8', stdio: 'pipe' })
  const client = await createClient(ca, { keyPem: rsa(2_048) })
  expect(await client.createAccount({ termsOfServiceAgreed: true })).toMatchObject({ status: 'valid' })
  const url = `${ca.directoryUrl.replace('/directory', '')}/acme/new-account`
  const payload = { termsOfServiceAgreed: true }
  expect(problemType(await send(ca, { url, payload, keyPem: rsa(1_024) }))).toBe('badPublicKey')
  const curve = execFileSync('openssl', ['ecparam', '-name', 'secp256k1', '-genkey', '-noout'], { encoding: 'utf8' })
  expect(problemType(await send(ca, { url, payload, keyPem: curve }))).toBe('badPublicKey')
})

test('good nonces are refused at the rate that is set; acme-client goes on', async () => {
  await using web = await startChallengeWeb()
  let turn = 0
  await using ca = await startAcmeServer({
    httpPort: web.port,
    nonceRejectPercent: 50,
    random: () => (turn++ % 2 === 0 ? 0 : 0.99),
  })
  const client = await registeredClient(ca)
  for (let count = 0; count < 4; count++)
    expect(await order(client, ['a.shop.test'])).toMatchObject({ status: 'pending' })
  expect(ca.log.of('refused').map(({ type }) => type)).toEqual(Array.from({ length: 5 }, () => 'badNonce'))
})

test('every resource of an account is closed to another account', async () => {
  await using ca = await startAcmeServer({})
  const owner = await registeredClient(ca)
  const other = await registeredClient(ca)
  const placed = await order(owner, ['shop.test'])
  const [authorization] = await owner.getAuthorizations(placed)
  const urls = [
    placed.url,
    authorization?.url,
    authorization?.challenges[0]?.url,
    placed.finalize,
    owner.getAccountUrl(),
  ]
  for (const url of urls) {
    const payload = url === placed.finalize ? { csr: 'AAAA' } : null
    const answer = await send(ca, { url: url ?? '', payload, keyPem: other.accountPem, kid: other.getAccountUrl() })
    expect([url, answer.status, problemType(answer)]).toEqual([url, 403, 'unauthorized'])
  }
})
