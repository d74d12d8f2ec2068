import { type Authorization, Client, type Order } from 'acme-client'
import { BAD_NONCE, parseRetryAfter, readProblem } from './acme-problem.ts'
import { type AcmeAnswer, type AcmeTransport, createAcmeTransport } from './acme-transport.ts'
import { type Issuer, IssuerProblem, ownProblems, type RemoteAuthorization, type RemoteOrder } from './issuer.ts'

/** Nonces kept for later requests; old ones are dropped, the CA refuses them anyway. */
const MAX_NONCES = 32
/** A challenge's token (RFC 8555 section 8.1): base64url, it becomes part of a path and a key. */
const TOKEN = /^[A-Za-z0-9_-]{16,200}$/

/** The account at the CA, as the caller keeps it. */
export type AcmeAccount = {
  readonly id: string
  readonly keyPem: string
  /** Null until the CA has answered newAccount. */
  readonly url: string | null
}

/** One ACME directory. */
export type AcmeIssuerOptions = {
  readonly id: string
  readonly directoryUrl: string
  readonly trustRootPem: string | null
  readonly profile: string | null
  readonly email: string | null
  readonly termsAgreed: boolean
  readonly eab: { readonly kid: string; readonly hmacKey: string } | null
  /** Nameplate's version, for the User-Agent. */
  readonly version: string
  /** The account row: made before the CA is asked, so that asking again finds the same account by its key. */
  readonly loadAccount: () => Promise<AcmeAccount>
  readonly saveAccountUrl: (accountId: string, url: string) => Promise<void>
}

/** What the directory says of itself (RFC 8555 section 7.1.1). */
export type DirectoryMeta = {
  readonly termsOfService: string | null
  readonly externalAccountRequired: boolean
  readonly profiles: readonly string[] | null
}

/** The part of acme-client's HTTP layer that is replaced in each client: its own shares axios, retries and no limits. */
type ClientHttp = {
  request(url: string, method: string, options?: { data?: unknown }): Promise<AcmeAnswer>
  getNonce(): Promise<string>
  getResourceUrl(resource: string): Promise<string>
}

type Session = { readonly client: Client; readonly accountId: string }

/** An issuer that speaks ACME (RFC 8555) with http-01 challenges. Opens no connection yet. */
export function createAcmeIssuer(options: AcmeIssuerOptions): Issuer {
  const transport = createAcmeTransport(options)
  const waits = new WeakMap<object, number>()
  let session: Promise<Session> | null = null

  /** One registration at a time; a failed one is tried anew by the next call. */
  const connect = (): Promise<Session> => {
    session ??= openSession(options, transport, waits).catch((error: unknown) => {
      session = null
      throw error
    })
    return session
  }
  const call = async <T>(work: (client: Client) => Promise<T>): Promise<T> => {
    const { client } = await connect()
    return work(client).catch((error: unknown) => Promise.reject(asProblem(error)))
  }
  const remote = (order: Order): RemoteOrder => toRemoteOrder(order, waits.get(order) ?? null)

  return {
    id: options.id,
    kind: 'acme',
    ensureAccount: async () => (await connect()).accountId,
    placeOrder: (names) =>
      call(async (client) => {
        const identifiers = names.map((value) => ({ type: 'dns', value }))
        const request = { identifiers, ...(options.profile === null ? {} : { profile: options.profile }) }
        return remote(await client.createOrder(request))
      }),
    readOrder: (url) => call(async (client) => remote(await client.getOrder({ url } as Order))),
    readAuthorization: (url) =>
      call(async (client) => {
        const [authorization] = await client.getAuthorizations({ authorizations: [url] } as Order)
        if (authorization === undefined) throw malformed('an authorization without an answer')
        return toRemoteAuthorization(client, authorization)
      }),
    submitChallenge: ({ url, token }) =>
      call(async (client) => void (await client.completeChallenge({ type: 'http-01', status: 'pending', url, token }))),
    finalizeOrder: ({ url, finalizeUrl }, csrPem) =>
      call(async (client) => remote(await client.finalizeOrder({ url, finalize: finalizeUrl } as Order, csrPem))),
    downloadCertificate: (certificateUrl) =>
      call((client) => client.getCertificate({ status: 'valid', certificate: certificateUrl } as Order)),
    close: () => transport.close(),
  }
}

/** Asks a directory what it demands, without an account. Throws `IssuerProblem`. */
export async function readDirectoryMeta(options: {
  directoryUrl: string
  trustRootPem: string | null
  version: string
  timeoutMs?: number
}): Promise<DirectoryMeta> {
  const transport = createAcmeTransport(options)
  try {
    const { data } = await transport.request(options.directoryUrl, 'get')
    return parseMeta(data)
  } finally {
    transport.close()
  }
}

async function openSession(
  options: AcmeIssuerOptions,
  transport: AcmeTransport,
  waits: WeakMap<object, number>,
): Promise<Session> {
  const account = await options.loadAccount()
  const client = new Client({
    directoryUrl: options.directoryUrl,
    accountKey: account.keyPem,
    ...(account.url === null ? {} : { accountUrl: account.url }),
    ...(options.eab === null ? {} : { externalAccountBinding: options.eab }),
  })
  useTransport(client, transport, waits)
  if (account.url !== null) return { client, accountId: account.id }
  await register(client, options, transport)
  await options.saveAccountUrl(account.id, client.getAccountUrl())
  return { client, accountId: account.id }
}

/** newAccount (RFC 8555 section 7.3): with the same key the CA answers with the same account. */
async function register(client: Client, options: AcmeIssuerOptions, transport: AcmeTransport): Promise<void> {
  const meta = parseMeta((await transport.request(options.directoryUrl, 'get')).data)
  if (meta.termsOfService !== null && !options.termsAgreed) {
    const detail = `the terms of service of this CA are not agreed to (${meta.termsOfService})`
    throw new IssuerProblem({ type: ownProblems.termsNotAgreed, detail })
  }
  try {
    await client.createAccount({
      ...(meta.termsOfService === null ? {} : { termsOfServiceAgreed: true }),
      ...(options.email === null ? {} : { contact: [`mailto:${options.email}`] }),
    })
  } catch (error) {
    throw asProblem(error)
  }
}

function useTransport(client: Client, transport: AcmeTransport, waits: WeakMap<object, number>): void {
  const { http } = client as unknown as { http: ClientHttp }
  const nonces: string[] = []
  http.request = async (url, method, { data } = {}) => {
    const answer = await transport.request(url, method, data === undefined ? {} : { data })
    const nonce = answer.headers['replay-nonce']
    const isBadNonce = (answer.data as { type?: unknown } | null)?.type === BAD_NONCE
    if (typeof nonce === 'string' && method !== 'head' && !isBadNonce) nonces.push(nonce)
    if (nonces.length > MAX_NONCES) nonces.shift()
    const retryAfterMs = parseRetryAfter(answer.headers['retry-after'], new Date())
    if (retryAfterMs !== null && typeof answer.data === 'object' && answer.data !== null)
      waits.set(answer.data, retryAfterMs)
    return answer
  }
  http.getNonce = async () => {
    const kept = nonces.pop()
    if (kept !== undefined) return kept
    const { headers } = await http.request(await http.getResourceUrl('newNonce'), 'head')
    const nonce = headers['replay-nonce']
    if (typeof nonce !== 'string') throw malformed('no nonce was given')
    return nonce
  }
}

function toRemoteOrder(order: Order, retryAfterMs: number | null): RemoteOrder {
  const { url, status, finalize, authorizations, certificate, expires } = order
  if (typeof url !== 'string' || typeof finalize !== 'string' || !Array.isArray(authorizations))
    throw malformed('an order without its URLs')
  return {
    url,
    state: status,
    finalizeUrl: finalize,
    authorizationUrls: authorizations,
    certificateUrl: certificate ?? null,
    expiresAt: expires === undefined || Number.isNaN(Date.parse(expires)) ? null : new Date(expires),
    retryAfterMs,
  }
}

async function toRemoteAuthorization(client: Client, authorization: Authorization): Promise<RemoteAuthorization> {
  const challenges = Array.isArray(authorization.challenges) ? authorization.challenges : []
  const challenge = challenges.find((item) => item.type === 'http-01')
  if (challenge !== undefined && !TOKEN.test(challenge.token)) throw malformed('a challenge with an unusable token')
  const failed = challenges.map((item) => readProblem(item.error)).find((problem) => problem !== null)
  return {
    url: authorization.url,
    name: authorization.identifier.value,
    isValid: authorization.status === 'valid',
    challenge:
      challenge === undefined
        ? null
        : {
            type: 'http-01',
            url: challenge.url,
            token: challenge.token,
            keyAuthorization: await client.getChallengeKeyAuthorization(challenge),
            isSubmitted: challenge.status !== 'pending',
          },
    error: failed == null ? null : new IssuerProblem(failed),
  }
}

function parseMeta(directory: unknown): DirectoryMeta {
  const body = directory as { newOrder?: unknown; meta?: Record<string, unknown> } | null
  if (typeof body !== 'object' || body === null || typeof body.newOrder !== 'string')
    throw malformed('this URL is no ACME directory')
  const meta = body.meta ?? {}
  return {
    termsOfService: typeof meta.termsOfService === 'string' ? meta.termsOfService : null,
    externalAccountRequired: meta.externalAccountRequired === true,
    profiles: typeof meta.profiles === 'object' && meta.profiles !== null ? Object.keys(meta.profiles) : null,
  }
}

function asProblem(error: unknown): IssuerProblem {
  if (error instanceof IssuerProblem) return error
  return malformed(error instanceof Error ? error.message : String(error), error)
}

function malformed(detail: string, cause?: unknown): IssuerProblem {
  return new IssuerProblem({ type: ownProblems.malformedAnswer, detail, cause })
}
