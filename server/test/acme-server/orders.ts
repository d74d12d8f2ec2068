import { authenticate, expectRead, payloadOf, signerOf } from './authenticate.ts'
import { createAuthorization, expireAuthorization, findReusable } from './authorizations.ts'
import type { Call } from './calls.ts'
import type { Answer, Context } from './context.ts'
import type { Identifier } from './identifier.ts'
import { readIdentifiers } from './identifiers.ts'
import { completeIssuance } from './issuance.ts'
import { AcmeProblem, type Subproblem } from './problem.ts'
import { profileOf } from './profiles.ts'
import { findReplaced } from './renewal.ts'
import { type Account, newId, type Order } from './state.ts'

const ORDER_LIFETIME_MS = 7 * 86_400_000

/** newOrder (RFC 8555 section 7.4) with `profile` and `replaces`. */
export function answerNewOrder(context: Context, request: { body: Buffer; url: string }): Answer {
  const { settings, state, log, urls } = context
  const signed = authenticate(context, request, 'account')
  const account = signerOf(signed)
  const payload = payloadOf(signed)
  if (payload.notBefore !== undefined || payload.notAfter !== undefined) {
    throw new AcmeProblem('malformed', 'NotBefore and NotAfter are not supported')
  }
  const identifiers = readIdentifiers(payload.identifiers, (name) => isRejected(settings.rejectedNames, name))
  const names = identifiers.map(({ value }) => value)
  const profile = profileOf(context, payload.profile, identifiers)
  const replaced = payload.replaces === undefined ? null : findReplaced(context, account, payload.replaces, names)
  context.limits.checkNewOrder({ accountId: account.id, names, isReplacement: replaced !== null })
  const order = createOrder(context, account, { identifiers, profile, replaces: replaced?.certId ?? null })
  if (replaced !== null) replaced.replacedBy = order.id
  state.orders.set(order.id, order)
  account.orderIds.push(order.id)
  log.add({ kind: 'order', orderId: order.id, accountId: account.id, names, profile, replaces: order.replaces })
  refreshOrder(context, order)
  return { ...orderAnswer(context, order), status: 201, headers: { location: urls.order(order.id) } }
}

/** The order's own URL, by POST-as-GET. */
export function answerOrder(context: Context, call: Call, request: { body: Buffer; url: string }): Answer {
  const signed = authenticate(context, request, 'account')
  expectRead(signed)
  const order = ownOrder(context, signerOf(signed), call.id)
  refreshOrder(context, order)
  return orderAnswer(context, order)
}

/** An order of the account. Throws 404, or `unauthorized` for another account's. */
export function ownOrder({ state }: Context, account: Account, id: string): Order {
  const order = state.orders.get(id)
  if (order === undefined) throw new AcmeProblem('malformed', `No order for ID ${id}`, { status: 404 })
  if (order.accountId !== account.id) throw new AcmeProblem('unauthorized', `Account does not own order ${id}`)
  return order
}

/** An order as an answer, with `Retry-After` while it is processing. */
export function orderAnswer({ urls, settings }: Context, order: Order): Answer {
  const isProcessing = order.status === 'processing'
  return {
    status: 200,
    headers: {
      location: urls.order(order.id),
      ...(isProcessing ? { 'retry-after': String(settings.pollSeconds) } : {}),
    },
    body: {
      status: order.status,
      expires: new Date(order.expiresAt).toISOString(),
      identifiers: order.identifiers,
      authorizations: order.authorizationIds.map(urls.authorization),
      finalize: urls.finalize(order.id),
      ...(order.profile === null ? {} : { profile: order.profile }),
      ...(order.replaces === null ? {} : { replaces: order.replaces }),
      ...(order.error === null ? {} : { error: order.error.document() }),
      ...(order.certificateId === null ? {} : { certificate: urls.certificate(order.certificateId) }),
    },
  }
}

/** Moves an order on to where its authorizations, its expiry and the clock have brought it (section 7.1.6). */
export function refreshOrder(context: Context, order: Order): void {
  const now = context.settings.clock()
  if (order.status === 'pending' || order.status === 'ready') judgeAuthorizations(context, order)
  if (order.status === 'processing' && order.processing !== null && now >= order.processing.dueAt)
    completeIssuance(context, order)
  if (order.status !== 'valid' && order.status !== 'invalid' && now >= order.expiresAt) {
    order.status = 'invalid'
    order.error = new AcmeProblem('malformed', `Order expired at ${new Date(order.expiresAt).toISOString()}`)
  }
}

function judgeAuthorizations({ state, settings }: Context, order: Order): void {
  const authorizations = order.authorizationIds.map((id) => state.authorizations.get(id))
  for (const item of authorizations) if (item !== undefined) expireAuthorization(item, settings.clock())
  const failed = authorizations.filter(
    (item) => item !== undefined && ['invalid', 'deactivated', 'expired'].includes(item.status),
  )
  if (failed.length > 0) {
    const subproblems = failed.flatMap((item): Subproblem[] => {
      const error = item?.challenges.find((challenge) => challenge.error !== null)?.error
      if (item === undefined) return []
      return [
        {
          type: error?.type ?? 'unauthorized',
          detail: error?.message ?? `Authorization is ${item.status}`,
          identifier: item.identifier,
        },
      ]
    })
    order.status = 'invalid'
    order.error = new AcmeProblem(subproblems[0]?.type ?? 'unauthorized', 'Some authorizations are not valid', {
      subproblems,
    })
    return
  }
  const isAllValid = authorizations.every((item) => item?.status === 'valid')
  if (isAllValid) order.status = 'ready'
}

function createOrder(
  context: Context,
  account: Account,
  {
    identifiers,
    profile,
    replaces,
  }: { identifiers: readonly Identifier[]; profile: string | null; replaces: string | null },
): Order {
  const authorizationIds = identifiers.map((identifier) => {
    const reused = findReusable(context, account, identifier)
    return (reused ?? createAuthorization(context, account, identifier)).id
  })
  return {
    id: newId(),
    accountId: account.id,
    identifiers,
    status: 'pending',
    expiresAt: context.settings.clock() + ORDER_LIFETIME_MS,
    authorizationIds,
    profile,
    replaces,
    error: null,
    processing: null,
    certificateId: null,
  }
}

function isRejected(rejected: readonly string[], name: string): boolean {
  return rejected.some((bad) => name === bad || name.endsWith(`.${bad}`))
}
