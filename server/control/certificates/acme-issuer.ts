import { isIP } from 'node:net'
import type { Client, Order } from 'acme-client'
import { malformed, toRemoteAuthorization, toRemoteOrder } from './acme-answers.ts'
import { parseRetryAfter } from './acme-problem.ts'
import { type AcmeIssuerOptions, type AcmeSession, createAcmeSession } from './acme-session.ts'
import { certificateIdentifier, parseRenewalInfo } from './ari.ts'
import { createOrderFinder } from './find-order.ts'
import {
  type Issuer,
  IssuerProblem,
  type OrderRequest,
  ownProblems,
  type PlacedOrder,
  type RemoteOrder,
  type RenewalInfo,
} from './issuer.ts'

/** With a clock that is further off, proofs and dates cannot be judged: nothing is ordered. */
const MAX_SKEW_MS = 5 * 60_000

/** An issuer that speaks ACME (RFC 8555). Opens no connection yet. */
export function createAcmeIssuer(options: AcmeIssuerOptions): Issuer {
  const session = createAcmeSession(options)
  const remote = (order: Order): RemoteOrder => toRemoteOrder(order, session.retryAfterMs(order))
  return {
    id: options.id,
    kind: 'acme',
    ensureAccount: () => session.account(),
    placeOrder: (request) => place(session, request),
    findOrder: createOrderFinder(session),
    readOrder: (url) => session.call(async (client) => remote(await client.getOrder({ url } as Order))),
    async readAuthorization(url) {
      const thumbprint = await session.thumbprint()
      return session.call(async (client) => {
        const [authorization] = await client.getAuthorizations({ authorizations: [url] } as Order)
        if (authorization === undefined) throw malformed('an authorization without an answer')
        return toRemoteAuthorization(authorization, thumbprint)
      })
    },
    submitChallenge: ({ url }) =>
      session.call(async (client) => {
        await client.completeChallenge({ type: 'http-01', status: 'pending', url, token: '' })
      }),
    finalizeOrder: ({ url, finalizeUrl }, csrPem) =>
      session.call(async (client) =>
        remote(await client.finalizeOrder({ url, finalize: finalizeUrl } as Order, csrPem)),
      ),
    downloadCertificate: (certificateUrl) =>
      session.call((client) =>
        client.getCertificate(
          { status: 'valid', certificate: certificateUrl } as Order,
          options.preferredChain ?? undefined,
        ),
      ),
    renewalInfo: (chainPem) => renewalInfo(session, chainPem),
    close: () => session.transport.close(),
  }
}

/**
 * Places an order with what the CA takes of it: a profile that it does not have is left out (draft-aaron-acme-profiles
 * section 4), and a `replaces` that it refuses once (RFC 9773 section 5: it was replaced already, or it knows it not).
 */
async function place(session: AcmeSession, request: OrderRequest): Promise<PlacedOrder> {
  await session.account()
  const { meta } = await session.directory()
  await refuseSkew(session)
  const profile = meta.profiles?.includes(request.profile ?? '') === true ? request.profile : null
  const replaces = meta.hasRenewalInfo ? request.replaces : null
  try {
    return await placeOnce(session, request.names, { profile, replaces })
  } catch (error) {
    const kind = error instanceof IssuerProblem ? refusedPart(error, { profile, replaces }) : null
    if (kind === null) throw error
    if (kind === 'profile') await session.directory(true)
    return placeOnce(session, request.names, {
      profile: kind === 'profile' ? null : profile,
      replaces: kind === 'replaces' ? null : replaces,
    })
  }
}

type Extras = { readonly profile: string | null; readonly replaces: string | null }

function placeOnce(session: AcmeSession, names: readonly string[], extras: Extras): Promise<PlacedOrder> {
  const identifiers = names.map((value) => ({ type: isIP(value) === 0 ? 'dns' : 'ip', value }))
  const given = Object.entries(extras).filter(([, value]) => value !== null)
  const body = { identifiers, ...Object.fromEntries(given) } as Parameters<Client['createOrder']>[0]
  return session.call(async (client) => {
    const order = await client.createOrder(body)
    return { ...toRemoteOrder(order, session.retryAfterMs(order)), ...extras }
  })
}

/** Which optional part of a request the CA complains of, or null. */
function refusedPart({ type, detail, status }: IssuerProblem, extras: Extras): keyof Extras | null {
  const kind = type.slice(type.lastIndexOf(':') + 1)
  if (extras.profile !== null && kind === 'invalidProfile') return 'profile'
  if (extras.replaces === null) return null
  const isRefused = kind === 'alreadyReplaced' || status === 409 || (status === 404 && kind !== 'accountDoesNotExist')
  const isAboutIt = ['malformed', 'unauthorized'].includes(kind) && /replace|certID|certificate/i.test(detail)
  return isRefused || isAboutIt ? 'replaces' : null
}

async function renewalInfo(session: AcmeSession, chainPem: string): Promise<RenewalInfo | null> {
  const { urls } = await session.directory()
  const id = certificateIdentifier(chainPem)
  if (typeof urls.renewalInfo !== 'string' || id === null) return null
  const { data, headers } = await session.transport.request(`${urls.renewalInfo.replace(/\/$/, '')}/${id}`, 'get')
  const info = parseRenewalInfo(data, parseRetryAfter(headers['retry-after'], new Date()))
  if (info === null) throw malformed('no renewal window that makes sense')
  return info
}

/** A clock that was set meanwhile is seen in a fresh answer. */
async function refuseSkew(session: AcmeSession): Promise<void> {
  const isOff = (skewMs: number | null): skewMs is number => skewMs !== null && Math.abs(skewMs) > MAX_SKEW_MS
  if (isOff(session.transport.skewMs())) await session.directory(true)
  const skewMs = session.transport.skewMs()
  if (!isOff(skewMs)) return
  const minutes = Math.round(Math.abs(skewMs) / 60_000)
  const detail = `the clock of this machine is ${minutes} minutes ${skewMs > 0 ? 'behind' : 'ahead of'} that of the CA`
  throw new IssuerProblem({ type: ownProblems.clockSkew, detail })
}
