import { X509Certificate } from 'node:crypto'
import { Client } from 'acme-client'
import { asProblem, parseMeta } from '../acme-answers.ts'
import { type ClientHttp, useTransport, type Wiring } from '../acme-session.ts'
import { type AcmeAnswer, createAcmeTransport } from '../acme-transport.ts'
import { IssuerProblem } from '../issuer.ts'

const ERROR = 'urn:ietf:params:acme:error:'

/** The part of acme-client's HTTP layer that signs (RFC 8555 section 6.2). With `kid` null the key itself is named. */
type SigningHttp = ClientHttp & {
  createSignedBody(url: string, payload: object): object
  signedRequest(url: string, payload: object, options: { readonly kid: string | null }): Promise<AcmeAnswer>
}

/** Who signs: an account, or the key of a certificate itself (url null). */
export type Signer = { readonly keyPem: string; readonly url: string | null }

/** What is asked of a CA besides orders. Every call may be made again; all throw `IssuerProblem`. */
export type AcmeAdmin = {
  /** Revokes a certificate (RFC 8555 section 7.6); one that is revoked already is fine. `reasonCode` 0 is not sent. */
  revoke(signer: Signer, chainPem: string, reasonCode: number): Promise<void>
  /** The account URL that a key belongs to (RFC 8555 section 7.3.1); null when it is no account's. */
  findAccount(keyPem: string): Promise<string | null>
  /** Changes an account's key (RFC 8555 section 7.3.5). */
  changeKey(account: { readonly keyPem: string; readonly url: string }, nextKeyPem: string): Promise<void>
  /** Ends an account (RFC 8555 section 7.3.6). */
  deactivate(account: { readonly keyPem: string; readonly url: string }): Promise<void>
  close(): void
}

/** Speaks with one directory; nothing is sent before the first call. */
export function createAcmeAdmin(options: {
  readonly directoryUrl: string
  readonly trustRootPem: string | null
  readonly version: string
}): AcmeAdmin {
  const transport = createAcmeTransport(options)
  let kept: ReturnType<Wiring['directory']> | null = null
  const directory: Wiring['directory'] = () => {
    kept ??= transport.request(options.directoryUrl, 'get').then(({ data }) => ({
      urls: data as Readonly<Record<string, unknown>>,
      meta: parseMeta(data),
    }))
    return kept
  }
  const wiring = { transport, directory, waits: new WeakMap<object, number>() }
  const httpOf = (keyPem: string): SigningHttp => {
    const client = new Client({ directoryUrl: options.directoryUrl, accountKey: keyPem })
    const { http } = client as unknown as { http: SigningHttp }
    useTransport(http, wiring)
    return http
  }
  const send = async (signer: Signer, resource: string, payload: object): Promise<AcmeAnswer> => {
    const http = httpOf(signer.keyPem)
    try {
      const url = resource.startsWith('https://') ? resource : await http.getResourceUrl(resource)
      return await http.signedRequest(url, payload, { kid: signer.url })
    } catch (error) {
      throw asProblem(error)
    }
  }
  return {
    async revoke(signer, chainPem, reasonCode) {
      const certificate = new X509Certificate(chainPem).raw.toString('base64url')
      const ask = (reason: object) => send(signer, 'revokeCert', { certificate, ...reason })
      try {
        await ask(reasonCode === 0 ? {} : { reason: reasonCode })
      } catch (error) {
        if (isProblem(error, 'alreadyRevoked')) return
        // A CA need not know every reason (RFC 8555 section 7.6); to be revoked matters more.
        if (!isProblem(error, 'badRevocationReason')) throw error
        await ask({}).catch((again: unknown) =>
          isProblem(again, 'alreadyRevoked') ? undefined : Promise.reject(again),
        )
      }
    },
    async findAccount(keyPem) {
      try {
        const { headers } = await send({ keyPem, url: null }, 'newAccount', { onlyReturnExisting: true })
        return headers.location ?? null
      } catch (error) {
        if (isProblem(error, 'accountDoesNotExist')) return null
        throw error
      }
    },
    async changeKey(account, nextKeyPem) {
      const url = await httpOf(account.keyPem)
        .getResourceUrl('keyChange')
        .catch((error: unknown) => Promise.reject(asProblem(error)))
      const oldKey = httpOf(account.keyPem).getJwk()
      const inner = httpOf(nextKeyPem).createSignedBody(url, { account: account.url, oldKey })
      await send(account, url, inner)
    },
    async deactivate(account) {
      await send(account, account.url, { status: 'deactivated' })
    },
    close: () => transport.close(),
  }
}

/** Whether an error is a CA's problem of this type. */
export function isProblem(error: unknown, ...types: readonly string[]): error is IssuerProblem {
  return error instanceof IssuerProblem && types.some((type) => error.type === ERROR + type)
}
