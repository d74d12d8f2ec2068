import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer, request } from 'node:https'
import { expect, test } from 'vitest'
import {
  certificateInState,
  createTenantSite,
  createVerifiedHostname,
  startManager,
  startResponder,
  useAcme,
} from '../../test/certificate-rig.ts'
import { createTestAuthority } from '../../test/certificates.ts'
import { createTestDatabase } from '../../test/database.ts'
import { type Pebble, startPebble } from '../../test/pebble.ts'
import { freePorts } from '../../test/ports.ts'
import { createAcmeIssuer } from './acme-issuer.ts'
import { parseRetryAfter } from './acme-problem.ts'
import { readDirectoryMeta } from './acme-session.ts'
import type { IssuerProblem } from './issuer.ts'
import { generateKeyPem } from './keys.ts'

/** Answers a request itself (true), or lets it through to Pebble. */
type Intercept = (incoming: IncomingMessage, reply: ServerResponse) => boolean

test('a rate limit of the CA is told as such and waited for on the row', async () => {
  await using database = await createTestDatabase()
  const { db } = database
  await using responder = await startResponder(db)
  await using pebble = await startPebble({ httpPort: responder.port })
  const detail = 'too many new orders (300) from this account in the last 3h0m0s'
  await using front = await startFront(pebble, (incoming, reply) => {
    if (incoming.url !== '/order-plz') return false
    reply.writeHead(429, { 'content-type': 'application/problem+json', 'retry-after': '7200' })
    reply.end(JSON.stringify({ type: 'urn:ietf:params:acme:error:rateLimited', detail }))
    return true
  })
  await useAcme(db, front)
  await createVerifiedHostname(db, await createTenantSite(db), 'limited.acme.test')
  await using _manager = startManager(database)

  const row = await certificateInState(db, 'limited.acme.test', 'failing')
  expect(row.problem).toMatchObject({ code: 'RATE_LIMITED', detail: expect.stringContaining(detail) })
  const waitMs = (row.dueAt?.getTime() ?? 0) - row.updatedAt.getTime()
  expect(waitMs).toBeGreaterThan(7_190_000)
  expect(waitMs).toBeLessThan(7_300_000)
  expect(row.leaseHolder).toBeNull()
  expect(pebble.orderCount()).toBe(0)
})

test('terms that are not agreed to stop before an account is made; an external account is used where asked', async () => {
  await using database = await createTestDatabase()
  const { db } = database
  await using responder = await startResponder(db)
  const hmacKey = Buffer.alloc(32, 7).toString('base64url')
  await using pebble = await startPebble({ httpPort: responder.port, externalAccounts: { 'kid-1': hmacKey } })
  const issuerId = await useAcme(db, pebble, { termsAgreed: false })
  const owner = await createTenantSite(db)
  await createVerifiedHostname(db, owner, 'terms.acme.test')
  await using manager = startManager(database)
  const paused = await certificateInState(db, 'terms.acme.test', 'paused')
  expect(paused.problem).toMatchObject({ code: 'TERMS_NOT_AGREED' })
  expect(pebble.log()).not.toContain('/sign-me-up')

  await db.issuer.update({ where: { id: issuerId }, data: { isEnabled: false } })
  await useAcme(db, pebble, { name: 'with binding', eabKid: 'kid-1', eabHmacKey: hmacKey })
  await db.certificate.updateMany({ data: { dueAt: new Date() } })
  manager.wake()
  await certificateInState(db, 'terms.acme.test', 'valid')
  await expect(readDirectoryMeta({ ...pebbleDirectory(pebble) })).resolves.toMatchObject({
    termsOfService: expect.stringContaining('data:'),
    externalAccountRequired: true,
  })
})

test.each<[string, Intercept, string]>([
  ['an answer without an end', (_incoming, reply) => flood(reply), 'too large'],
  ['silence', () => true, 'no answer in time'],
  ['a page that is no directory', (_incoming, reply) => html(reply, 200), 'no ACME directory'],
  ['a redirect', (_incoming, reply) => moved(reply), 'status 302'],
  ['a broken gateway', (_incoming, reply) => html(reply, 502), 'status 502'],
])('%s instead of the directory is a problem, not a hang', async (_what, intercept, detail) => {
  await using front = await startFront(null, intercept)
  const problem = await readDirectoryMeta({ ...pebbleDirectory(front), timeoutMs: 1_000 }).catch(
    (error: unknown) => error,
  )
  expect(problem).toMatchObject({ name: 'IssuerProblem', detail: expect.stringContaining(detail) })
})

test('the trust root belongs to its issuer alone', async () => {
  await using front = await startFront(null, (_incoming, reply) => html(reply, 200))
  const problem = await readDirectoryMeta({ ...pebbleDirectory(front), trustRootPem: null }).catch(
    (error: IssuerProblem) => error,
  )
  expect(problem).toMatchObject({ detail: expect.stringMatching(/CERT|SIGNATURE/) })
})

test('our name is told to the CA, and thirty requests at once need no more nonces than requests', async () => {
  const agents = new Set<string | undefined>()
  let nonceRequests = 0
  await using pebble = await startPebble({ httpPort: 1 })
  await using front = await startFront(pebble, ({ headers, url }) => {
    agents.add(headers['user-agent'])
    if (url === '/nonce-plz') nonceRequests += 1
    return false
  })
  const keyPem = await generateKeyPem()
  const issuer = createAcmeIssuer({
    ...pebbleDirectory(front),
    id: 'nonces',
    preferredChain: null,
    email: 'admin@example.test',
    termsAgreed: true,
    eab: null,
    version: '1.2.3',
    loadAccount: () => Promise.resolve({ id: 'account', keyPem, url: null }),
    saveAccountUrl: () => Promise.resolve(),
  })
  try {
    await Promise.all(Array.from({ length: 30 }, (_, index) => issuer.placeOrder(orderOf(`n${index}.acme.test`))))
    const before = nonceRequests
    for (let index = 0; index < 10; index += 1) await issuer.placeOrder(orderOf(`m${index}.acme.test`))
    expect(nonceRequests).toBe(before)
    expect([...agents]).toEqual(['Nameplate/1.2.3'])
    expect(pebble.orderCount()).toBe(40)
  } finally {
    issuer.close()
  }
})

test.each([
  [undefined, null],
  ['120', 120_000],
  ['0', 0],
  ['999999999', 86_400_000],
  ['Mon, 23 Nov 2026 12:01:00 GMT', 60_000],
  ['Mon, 23 Nov 2026 11:00:00 GMT', null],
  ['soon', null],
  ['-5', null],
])('Retry-After %j is %j ms', (header, expected) => {
  expect(parseRetryAfter(header, new Date('2026-11-23T12:00:00Z'))).toBe(expected)
})

function orderOf(name: string) {
  return { names: [name], profile: null, replaces: null }
}

function pebbleDirectory({ directoryUrl, caPem }: { directoryUrl: string; caPem: string }) {
  return { directoryUrl, trustRootPem: caPem, version: 'test' }
}

function flood(reply: ServerResponse): true {
  reply.writeHead(200, { 'content-type': 'application/json' })
  const more = setInterval(() => reply.write(Buffer.alloc(65_536, 32)), 1)
  reply.on('close', () => clearInterval(more))
  return true
}

function html(reply: ServerResponse, status: number): true {
  reply.writeHead(status, { 'content-type': 'text/html' }).end('<h1>hello</h1>')
  return true
}

function moved(reply: ServerResponse): true {
  reply.writeHead(302, { location: 'https://127.0.0.1/' }).end()
  return true
}

/** A TLS server before Pebble with a root of its own. The Host header goes through, so that signed URLs match. */
async function startFront(
  pebble: Pebble | null,
  intercept: Intercept,
): Promise<AsyncDisposable & { directoryUrl: string; caPem: string }> {
  const authority = await createTestAuthority()
  const { chainPem, privateKeyPem } = await authority.issue(['localhost'])
  const server = createServer({ cert: chainPem, key: privateKeyPem }, (incoming, reply) => {
    if (intercept(incoming, reply) || pebble === null) return
    const { method, headers, url } = incoming
    const options = { method, headers, ca: pebble.caPem, servername: 'localhost' }
    const outgoing = request(new URL(url ?? '/', pebble.directoryUrl), options, (answer) => {
      reply.writeHead(answer.statusCode ?? 502, answer.headers)
      answer.pipe(reply)
    })
    outgoing.on('error', () => reply.destroy())
    incoming.pipe(outgoing)
  })
  const [port] = await freePorts(1)
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  return {
    directoryUrl: `https://localhost:${port}/dir`,
    caPem: authority.caPem,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
