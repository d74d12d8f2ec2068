import { createHash } from 'node:crypto'
import { Client } from 'acme-client'
import { asProblem, malformed, parseMeta } from './acme-answers.ts'
import { BAD_NONCE, parseRetryAfter } from './acme-problem.ts'
import { type AcmeAnswer, type AcmeTransport, createAcmeTransport } from './acme-transport.ts'
import type { ObserveCall } from './ca-call.ts'
import { type DirectoryMeta, type IssuerAccount, IssuerProblem, ownProblems } from './issuer.ts'

/** Nonces kept for later requests; old ones are dropped, the CA refuses them anyway. */
const MAX_NONCES = 32
/** A CA may move its URLs and change its profiles. */
const DIRECTORY_MS = 3_600_000

/** The account at the CA, as the caller keeps it. */
export type AcmeAccount = {
  readonly id: string
  readonly keyPem: string
  /** Null until the CA has answered newAccount. */
  readonly url: string | null
  /** A roll-over of its key is under way: the CA may accept this one or the next. */
  readonly isChanging?: boolean
}

/** One ACME directory. */
export type AcmeIssuerOptions = {
  readonly id: string
  readonly directoryUrl: string
  readonly trustRootPem: string | null
  /** Common name of the root whose chain is wanted where there are several, or null. */
  readonly preferredChain: string | null
  readonly email: string | null
  readonly termsAgreed: boolean
  readonly eab: { readonly kid: string; readonly hmacKey: string } | null
  /** Nameplate's version, for the User-Agent. */
  readonly version: string
  /** Our clock, which the CA's is compared with. */
  readonly now?: () => Date
  readonly observe?: ObserveCall
  /** The account row: made before the CA is asked, so that asking again finds the same account by its key. */
  readonly loadAccount: () => Promise<AcmeAccount>
  readonly saveAccountUrl: (accountId: string, url: string) => Promise<void>
}

/** The part of acme-client's HTTP layer that is replaced in each client: its own shares axios, retries and no limits. */
export type ClientHttp = {
  request(url: string, method: string, options?: { data?: unknown }): Promise<AcmeAnswer>
  getNonce(): Promise<string>
  getResourceUrl(resource: string): Promise<string>
  getJwk(): object
}

/** A directory as the CA gave it, with the part that is understood. */
type Directory = { readonly urls: Readonly<Record<string, unknown>>; readonly meta: DirectoryMeta }

/** One signed-in connection to a CA: kept between orders, with its nonces and its directory. */
export type AcmeSession = {
  readonly transport: AcmeTransport
  /** Signed calls by acme-client; registers the account first. Throws `IssuerProblem`. */
  call<T>(work: (client: Client) => Promise<T>): Promise<T>
  /** Throws `IssuerProblem`. */
  account(): Promise<IssuerAccount>
  /** What the CA asked to wait with this answer, or null. */
  retryAfterMs(answer: object): number | null
  /** The directory, at most an hour old; `isFresh` asks the CA anew. Throws `IssuerProblem`. */
  directory(isFresh?: boolean): Promise<Directory>
  /** Of the account's key (RFC 8555 section 8.1). */
  thumbprint(): Promise<string>
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

type Opened = {
  readonly client: Client
  readonly http: ClientHttp
  readonly account: IssuerAccount
  readonly keyPem: string
}

/** Makes the session of one directory. Opens no connection yet. */
export function createAcmeSession(options: AcmeIssuerOptions): AcmeSession {
  const transport = createAcmeTransport(options)
  const waits = new WeakMap<object, number>()
  let kept: { readonly directory: Directory; readonly at: number } | null = null
  let opening: Promise<Opened> | null = null

  const directory = async (isFresh = false): Promise<Directory> => {
    if (!isFresh && kept !== null && Date.now() - kept.at < DIRECTORY_MS) return kept.directory
    const { data } = await transport.request(options.directoryUrl, 'get')
    kept = { directory: { urls: data as Directory['urls'], meta: parseMeta(data) }, at: Date.now() }
    return kept.directory
  }
  /** One registration at a time; a failed one is tried anew by the next call. */
  const open = (): Promise<Opened> => {
    opening ??= openClient(options, { transport, waits, directory }).catch((error: unknown) => {
      opening = null
      throw asProblem(error)
    })
    return opening
  }
  return {
    transport,
    directory,
    async call(work) {
      const { client, keyPem } = await open()
      return work(client).catch(async (error: unknown) => {
        const problem = asProblem(error)
        if (!(await isKeyReplaced(options, problem, keyPem))) throw problem
        opening = null
        const renewed = await open()
        return work(renewed.client).catch((again: unknown) => Promise.reject(asProblem(again)))
      })
    },
    account: async () => (await open()).account,
    retryAfterMs: (answer) => waits.get(answer) ?? null,
    async thumbprint() {
      const { http } = await open()
      return createHash('sha256').update(JSON.stringify(http.getJwk())).digest('base64url')
    },
  }
}

/** What a client's HTTP layer is replaced by. */
export type Wiring = Pick<AcmeSession, 'transport' | 'directory'> & { readonly waits: WeakMap<object, number> }

async function openClient(options: AcmeIssuerOptions, wiring: Wiring): Promise<Opened> {
  const account = await options.loadAccount()
  const client = new Client({
    directoryUrl: options.directoryUrl,
    accountKey: account.keyPem,
    ...(account.url === null ? {} : { accountUrl: account.url }),
    ...(options.eab === null ? {} : { externalAccountBinding: options.eab }),
  })
  const { http } = client as unknown as { http: ClientHttp }
  useTransport(http, wiring)
  if (account.url !== null)
    return { client, http, account: { id: account.id, url: account.url }, keyPem: account.keyPem }
  await register(client, options, wiring)
  const url = client.getAccountUrl()
  await options.saveAccountUrl(account.id, url)
  return { client, http, account: { id: account.id, url }, keyPem: account.keyPem }
}

/** newAccount (RFC 8555 section 7.3): with the same key the CA answers with the same account. */
async function register(client: Client, options: AcmeIssuerOptions, { directory }: Wiring): Promise<void> {
  const { meta } = await directory(true)
  if (meta.termsOfService !== null && !options.termsAgreed) {
    const detail = `the terms of service of this CA are not agreed to (${meta.termsOfService})`
    throw new IssuerProblem({ type: ownProblems.termsNotAgreed, detail })
  }
  await client.createAccount({
    ...(meta.termsOfService === null ? {} : { termsOfServiceAgreed: true }),
    ...(options.email === null ? {} : { contact: [`mailto:${options.email}`] }),
  })
}

/**
 * Whether a refusal came of a key that was rolled over meanwhile, so that nothing was done and the call may be
 * made again with the present one. Throws an `unreachable` problem, which is tried again soon, while a roll-over is under way.
 */
async function isKeyReplaced(options: AcmeIssuerOptions, problem: IssuerProblem, keyPem: string): Promise<boolean> {
  if (problem.status < 400 || problem.status >= 500) return false
  const account = await options.loadAccount()
  if (account.keyPem !== keyPem) return account.url !== null
  if (account.isChanging !== true) return false
  const detail = 'the key of our account at this CA is being changed'
  throw new IssuerProblem({ type: ownProblems.unreachable, detail, cause: problem })
}

/** Sends a client's requests over our transport, with the nonces that answers bring. */
export function useTransport(http: ClientHttp, { transport, waits, directory }: Wiring): void {
  const nonces: string[] = []
  http.getResourceUrl = async (resource) => {
    const url = (await directory()).urls[resource]
    if (typeof url !== 'string') throw malformed(`the directory has no ${resource}`)
    return url
  }
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
