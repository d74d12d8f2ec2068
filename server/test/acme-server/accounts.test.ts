import { createHmac, createPrivateKey } from 'node:crypto'
import { Agent } from 'node:https'
import { axios } from 'acme-client'
import { expect, test } from 'vitest'
import { generateKeyPem } from '../../control/certificates/keys.ts'
import { type Answered, craft, createClient, order, problemType, publicJwk, registeredClient, send } from './rig.ts'
import { type AcmeServer, startAcmeServer } from './server.ts'

const HMAC_KEY = Buffer.alloc(32, 7).toString('base64url')
const agreed = { termsOfServiceAgreed: true }

function pathOf(ca: AcmeServer, path: string): string {
  return `${ca.directoryUrl.replace('/directory', '')}/acme/${path}`
}

function register(ca: AcmeServer, payload: object, keyPem: string): Promise<Answered> {
  return send(ca, { url: pathOf(ca, 'new-account'), payload, keyPem })
}

test('an account is made once for a key, and found again', async () => {
  await using ca = await startAcmeServer({})
  const keyPem = await generateKeyPem()
  expect(problemType(await register(ca, { onlyReturnExisting: true }, keyPem))).toBe('accountDoesNotExist')
  const created = await register(ca, { ...agreed, contact: ['mailto:a@shop.test'] }, keyPem)
  expect(created).toMatchObject({ status: 201, data: { status: 'valid', contact: ['mailto:a@shop.test'] } })
  const found = await register(ca, { onlyReturnExisting: true }, keyPem)
  expect([found.status, found.headers.location]).toEqual([200, created.headers.location])
  expect((await register(ca, agreed, keyPem)).headers.location).toBe(created.headers.location)
  expect(ca.accountIds()).toHaveLength(1)
  expect(ca.log.of('account').map(({ what }) => what)).toEqual(['created', 'found', 'found'])
})

test.each<[string, object, string]>([
  ['without agreement', {}, 'malformed'],
  ['a contact that is no list', { ...agreed, contact: 'mailto:a@shop.test' }, 'malformed'],
  ['a telephone', { ...agreed, contact: ['tel:+49-1'] }, 'unsupportedContact'],
  ['no address', { ...agreed, contact: ['mailto:nobody'] }, 'invalidContact'],
  ['two addresses in one', { ...agreed, contact: ['mailto:a@shop.test,b@shop.test'] }, 'invalidContact'],
  ['header fields', { ...agreed, contact: ['mailto:a@shop.test?subject=x'] }, 'invalidContact'],
])('an account %s is refused', async (_what, payload, type) => {
  await using ca = await startAcmeServer({})
  expect(problemType(await register(ca, payload, await generateKeyPem()))).toBe(type)
  expect(ca.accountIds()).toHaveLength(0)
})

test('contacts are changed, orders are listed in pages, and a deactivated account does nothing any more', async () => {
  await using ca = await startAcmeServer({})
  const client = await registeredClient(ca)
  expect(await client.updateAccount({ contact: ['mailto:b@shop.test'] })).toMatchObject({
    contact: ['mailto:b@shop.test'],
  })
  const urls: string[] = []
  for (let count = 0; count < 51; count++) urls.push((await order(client, [`n${count}.shop.test`])).url)
  const kid = client.getAccountUrl()
  const list = await send(ca, { url: kid.replace('account', 'orders'), payload: null, keyPem: client.accountPem, kid })
  const next = /<([^>]+)>;rel="next"/.exec(list.headers.link ?? '')?.[1] ?? ''
  const rest = await send(ca, { url: next, payload: null, keyPem: client.accountPem, kid })
  expect([list, rest].flatMap(({ data }) => (data as { orders: string[] }).orders)).toEqual(urls)

  expect(await client.updateAccount({ status: 'deactivated' } as never)).toMatchObject({ status: 'deactivated' })
  await expect(order(client, ['shop.test'])).rejects.toThrow(/deactivated/)
  expect(problemType(await register(ca, agreed, client.accountPem))).toBe('unauthorized')
})

test('external accounts: the right binding is taken by acme-client, once where the CA says so', async () => {
  await using ca = await startAcmeServer({ externalAccounts: { 'kid-1': HMAC_KEY }, isExternalAccountUsedOnce: true })
  const externalAccountBinding = { kid: 'kid-1', hmacKey: HMAC_KEY }
  const client = await createClient(ca, { externalAccountBinding })
  expect(await client.createAccount(agreed)).toMatchObject({ status: 'valid' })
  const second = await createClient(ca, { externalAccountBinding })
  await expect(second.createAccount(agreed)).rejects.toThrow(/used already/)
})

type Binding = { kid?: string; key?: string; url?: string; jwk?: object; alg?: string; more?: object }

/** A binding made by hand. */
function bind(
  ca: AcmeServer,
  keyPem: string,
  { kid = 'kid-1', key = HMAC_KEY, url, jwk, alg = 'HS256', more }: Binding,
): object {
  const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url')
  const head = encode({ alg, kid, url: url ?? pathOf(ca, 'new-account'), ...more })
  const payload = encode(jwk ?? publicJwk(createPrivateKey(keyPem)))
  const signature = createHmac('sha256', Buffer.from(key, 'base64url')).update(`${head}.${payload}`).digest('base64url')
  return { protected: head, payload, signature }
}

test.each<[string, Binding | null, number, string]>([
  ['no binding', null, 403, 'externalAccountRequired'],
  ['an unknown key id', { kid: 'kid-2' }, 403, 'unauthorized'],
  ['the name of an inherited property as key id', { kid: 'constructor' }, 403, 'unauthorized'],
  ['another MAC key', { key: Buffer.alloc(32, 8).toString('base64url') }, 403, 'unauthorized'],
  ['a binding for another URL', { url: 'https://127.0.0.1:1/acme/new-account' }, 400, 'malformed'],
  ['a nonce', { more: { nonce: 'AAAA' } }, 400, 'malformed'],
  ['no MAC algorithm', { alg: 'ES256' }, 403, 'unauthorized'],
])('external accounts: %s is refused', async (_what, binding, status, type) => {
  await using ca = await startAcmeServer({ externalAccounts: { 'kid-1': HMAC_KEY } })
  const keyPem = await generateKeyPem()
  const externalAccountBinding = binding === null ? undefined : bind(ca, keyPem, binding)
  const answer = await register(ca, { ...agreed, externalAccountBinding }, keyPem)
  expect([answer.status, problemType(answer)]).toEqual([status, type])
})

test('external accounts: the binding of another key is refused, a right one taken', async () => {
  await using ca = await startAcmeServer({ externalAccounts: { 'kid-1': HMAC_KEY } })
  const [keyPem, otherPem] = [await generateKeyPem(), await generateKeyPem()]
  const jwk = publicJwk(createPrivateKey(otherPem))
  const stolen = await register(ca, { ...agreed, externalAccountBinding: bind(ca, keyPem, { jwk }) }, keyPem)
  expect(problemType(stolen)).toBe('unauthorized')
  const right = await register(ca, { ...agreed, externalAccountBinding: bind(ca, keyPem, {}) }, keyPem)
  expect(right.status).toBe(201)
})

test('key change: the new key signs from then on, the old one no more', async () => {
  await using ca = await startAcmeServer({})
  const client = await registeredClient(ca)
  const kid = client.getAccountUrl()
  const newPem = await generateKeyPem()
  // acme-client signs this with a second HTTP client of its own, on its shared axios.
  axios.defaults.httpsAgent = new Agent({ ca: ca.caPem })
  expect(await client.updateAccountKey(newPem)).toMatchObject({ status: 'valid' })
  const read = (keyPem: string) => send(ca, { url: kid, payload: null, keyPem, kid })
  expect((await read(newPem)).status).toBe(200)
  expect(problemType(await read(client.accountPem))).toBe('malformed')
  expect((await register(ca, { onlyReturnExisting: true }, newPem)).headers.location).toBe(kid)
  expect(problemType(await register(ca, { onlyReturnExisting: true }, client.accountPem))).toBe('accountDoesNotExist')
})

test.each<[string, (inner: { url: string; account: string; oldKey: object }) => object, string]>([
  ['for another account', (inner) => ({ ...inner, account: `${inner.account}x` }), 'malformed'],
  ['with another old key', (inner) => ({ ...inner, oldKey: { ...inner.oldKey, y: 'AAAA' } }), 'badPublicKey'],
  ['for another URL', (inner) => ({ ...inner, url: `${inner.url}x` }), 'malformed'],
])('key change %s is refused', async (_what, spoil, type) => {
  await using ca = await startAcmeServer({})
  const client = await registeredClient(ca)
  const kid = client.getAccountUrl()
  const oldKey = publicJwk(createPrivateKey(client.accountPem))
  const url = pathOf(ca, 'key-change')
  const { url: innerUrl, ...payload } = spoil({ url, account: kid, oldKey }) as { url: string }
  const inner = craft({ url: innerUrl, payload, keyPem: await generateKeyPem() })
  expect(problemType(await send(ca, { url, payload: inner, keyPem: client.accountPem, kid }))).toBe(type)
})

test("key change to another account's key: 409 with where that account is", async () => {
  await using ca = await startAcmeServer({})
  const [client, other] = [await registeredClient(ca), await registeredClient(ca)]
  const kid = client.getAccountUrl()
  const url = pathOf(ca, 'key-change')
  const payload = { account: kid, oldKey: publicJwk(createPrivateKey(client.accountPem)) }
  const inner = craft({ url, payload, keyPem: other.accountPem })
  const answer = await send(ca, { url, payload: inner, keyPem: client.accountPem, kid })
  expect([answer.status, answer.headers.location]).toEqual([409, other.getAccountUrl()])
})
