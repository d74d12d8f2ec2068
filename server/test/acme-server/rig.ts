import { createPrivateKey, type KeyObject, sign } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { Client, type ClientExternalAccountBindingOptions, crypto, type Order } from 'acme-client'
import { generateKeyPem } from '../../control/certificates/keys.ts'
import { freePorts } from '../ports.ts'
import type { AcmeServer } from './server.ts'

/** A web server that answers challenges from a map of paths; everything else is 404. */
export type ChallengeWeb = AsyncDisposable & {
  readonly port: number
  readonly answers: Map<string, string>
  /** `host path` of what was asked, with the user agent. */
  readonly asked: { host: string; path: string; userAgent: string }[]
  /** Answers itself (true), or lets the map answer. */
  intercept: (incoming: IncomingMessage, reply: ServerResponse) => boolean
}

export async function startChallengeWeb(): Promise<ChallengeWeb> {
  const [port = 0] = await freePorts(1)
  const answers = new Map<string, string>()
  const asked: ChallengeWeb['asked'] = []
  const server = createServer((incoming, reply) => {
    const path = incoming.url ?? ''
    asked.push({ host: incoming.headers.host ?? '', path, userAgent: incoming.headers['user-agent'] ?? '' })
    if (web.intercept(incoming, reply)) return
    const body = answers.get(path)
    reply.writeHead(body === undefined ? 404 : 200).end(body ?? 'nothing here')
  })
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
  const web: ChallengeWeb = {
    port,
    answers,
    asked,
    intercept: () => false,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
  return web
}

/** acme-client on the server's CA, with nothing of its axios shared: its retries would hide what the server says. */
export type TestClient = Client & { readonly accountPem: string }

type Http = { request(url: string, method: string, options?: { data?: unknown }): Promise<Answered> }

/** An answer as acme-client wants it. */
export type Answered = { status: number; headers: Record<string, string>; data: unknown; text: string }

export async function createClient(
  ca: Pick<AcmeServer, 'directoryUrl' | 'caPem'>,
  options: { keyPem?: string; externalAccountBinding?: ClientExternalAccountBindingOptions } = {},
): Promise<TestClient> {
  const accountPem = options.keyPem ?? (await generateKeyPem())
  const { externalAccountBinding } = options
  const client = new Client({
    directoryUrl: ca.directoryUrl,
    accountKey: accountPem,
    backoffMin: 5,
    backoffMax: 50,
    backoffAttempts: 200,
    ...(externalAccountBinding === undefined ? {} : { externalAccountBinding }),
  })
  const { http } = client as unknown as { http: Http }
  http.request = (url, method, { data } = {}) => call(ca, url, method, data)
  return Object.assign(client, { accountPem })
}

/** One HTTPS request; JSON bodies are parsed. */
export function call(
  ca: Pick<AcmeServer, 'caPem'>,
  url: string,
  method: string,
  data?: unknown,
  timeoutMs = 10_000,
): Promise<Answered> {
  return new Promise((resolve, reject) => {
    const headers = data === undefined ? {} : { 'content-type': 'application/jose+json' }
    const outgoing = httpsRequest(
      url,
      { method: method.toUpperCase(), ca: ca.caPem, headers, agent: false, timeout: timeoutMs },
      (reply) => {
        const chunks: Buffer[] = []
        reply.on('data', (chunk: Buffer) => chunks.push(chunk))
        reply.on('error', reject)
        reply.on('end', () => {
          const text = Buffer.concat(chunks).toString()
          const replied = Object.entries(reply.headers).map(([name, value]) => [
            name,
            Array.isArray(value) ? value.join(', ') : String(value),
          ])
          resolve({ status: reply.statusCode ?? 0, headers: Object.fromEntries(replied), data: parsed(text), text })
        })
      },
    )
    outgoing.on('timeout', () => outgoing.destroy(new Error('no answer in time')))
    outgoing.on('error', reject)
    outgoing.end(data === undefined ? undefined : JSON.stringify(data))
  })
}

/** A registered acme-client. */
export async function registeredClient(ca: AcmeServer): Promise<TestClient> {
  const client = await createClient(ca)
  await client.createAccount({ termsOfServiceAgreed: true })
  return client
}

/** Places an order for names with any further members. */
export function order(client: Client, names: readonly string[], more: object = {}): Promise<Order> {
  const identifiers = names.map((value) => ({ type: /^[0-9.]+$|:/.test(value) ? 'ip' : 'dns', value }))
  return client.createOrder({ identifiers, ...more })
}

/** A whole issue by http-01. */
export async function issueByHttp(
  client: Client,
  web: ChallengeWeb,
  names: readonly string[],
  more: object = {},
): Promise<{ pem: string; keyPem: string; order: Order }> {
  const placed = await order(client, names, more)
  await proveByHttp(client, web, placed)
  return finish(client, placed, names)
}

/** Meets the http-01 challenges of an order and waits until it is ready. */
export async function proveByHttp(client: Client, web: ChallengeWeb, placed: Order): Promise<void> {
  for (const authorization of await client.getAuthorizations(placed)) {
    if (authorization.status === 'valid') continue
    const challenge = authorization.challenges.find(({ type }) => type === 'http-01')
    if (challenge === undefined) throw new Error('no http-01 is offered')
    web.answers.set(
      `/.well-known/acme-challenge/${challenge.token}`,
      await client.getChallengeKeyAuthorization(challenge),
    )
    await client.completeChallenge(challenge)
    await client.waitForValidStatus(authorization)
  }
}

/** Meets the challenges of one type by what `present` does. */
export async function prove(
  client: Client,
  placed: Order,
  type: string,
  present: (name: string, keyAuthorization: string, token: string) => Promise<void> | void,
): Promise<void> {
  for (const authorization of await client.getAuthorizations(placed)) {
    const challenge = authorization.challenges.find((item) => item.type === type)
    if (challenge === undefined) throw new Error(`${type} is not offered for ${authorization.identifier.value}`)
    await present(authorization.identifier.value, await client.getChallengeKeyAuthorization(challenge), challenge.token)
    await client.completeChallenge(challenge)
    await client.waitForValidStatus(authorization)
  }
}

/** Finalizes an order that is ready and downloads its certificate. */
export async function finish(
  client: Client,
  placed: Order,
  names: readonly string[],
): Promise<{ pem: string; keyPem: string; order: Order }> {
  const [keyPem, csr] = await crypto.createCsr({ altNames: [...names] }, await generateKeyPem())
  const order = await client.finalizeOrder(placed, csr)
  return { pem: await client.getCertificate(order), keyPem: keyPem.toString(), order: await client.getOrder(placed) }
}

/** A signed request made by hand, every part of which a test can spoil. */
export type Crafted = {
  readonly url: string
  readonly payload: unknown
  readonly keyPem: string
  readonly kid?: string
  /** Members of the protected header that replace the right ones; undefined leaves one out. */
  readonly header?: Readonly<Record<string, unknown>>
  readonly nonce?: string
}

/** Builds the JWS without any library of ACME. `payload` null is POST-as-GET. */
export function craft({ url, payload, keyPem, kid, header = {}, nonce }: Crafted): {
  protected: string
  payload: string
  signature: string
} {
  const key = createPrivateKey(keyPem)
  const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url')
  const signer = kid === undefined ? { jwk: publicJwk(key) } : { kid }
  const head = encode({ alg: key.asymmetricKeyType === 'rsa' ? 'RS256' : 'ES256', url, nonce, ...signer, ...header })
  const body = payload === null ? '' : encode(payload)
  const signature = sign('sha256', Buffer.from(`${head}.${body}`), { key, dsaEncoding: 'ieee-p1363' })
  return { protected: head, payload: body, signature: signature.toString('base64url') }
}

/** Sends a crafted request with a fresh nonce. */
export async function send(ca: AcmeServer, crafted: Crafted): Promise<Answered> {
  const nonce = crafted.nonce ?? (await freshNonce(ca))
  return call(ca, crafted.url, 'POST', craft({ ...crafted, nonce }))
}

export async function freshNonce(ca: AcmeServer): Promise<string> {
  const { data } = await call(ca, ca.directoryUrl, 'GET')
  const answer = await call(ca, (data as { newNonce: string }).newNonce, 'HEAD')
  return answer.headers['replay-nonce'] ?? ''
}

/** The public half as a JWK with nothing but what RFC 7638 names. */
export function publicJwk(key: KeyObject): Record<string, string> {
  const { kty = '', crv = '', x = '', y = '', n = '', e = '' } = key.export({ format: 'jwk' })
  return kty === 'RSA' ? { e, kty, n } : { crv, kty, x, y }
}

/** The problem of what acme-client rejects is text alone; this one is the document. */
export function problemType({ data }: Answered): string {
  return String((data as { type?: unknown } | null)?.type).replace('urn:ietf:params:acme:error:', '')
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}
