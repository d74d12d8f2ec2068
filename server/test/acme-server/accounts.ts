import { authenticate, expectRead, payloadOf, type Signed, signerOf } from './authenticate.ts'
import type { Call } from './calls.ts'
import type { Answer, Context } from './context.ts'
import { readExternalAccount } from './external-account.ts'
import { AcmeProblem } from './problem.ts'
import { type Account, newId } from './state.ts'

const ADDRESS = /^[^\s@?,]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+$/
const MOST_CONTACTS = 10
const PAGE = 50

/** newAccount (RFC 8555 section 7.3). `address`: who asks, for the limit of new accounts. */
export function answerNewAccount(context: Context, request: { body: Buffer; url: string; address: string }): Answer {
  const signed = authenticate(context, request, 'new-key')
  const payload = payloadOf(signed)
  const existingId = context.state.accountIdByThumbprint.get(signed.key.thumbprint)
  const existing = existingId === undefined ? undefined : context.state.accounts.get(existingId)
  if (existing !== undefined) {
    if (existing.status !== 'valid') {
      throw new AcmeProblem('unauthorized', 'An account with the provided public key exists but is deactivated')
    }
    context.log.add({ kind: 'account', accountId: existing.id, what: 'found' })
    return { ...accountAnswer(context, existing), status: 200 }
  }
  if (payload.onlyReturnExisting === true)
    throw new AcmeProblem('accountDoesNotExist', 'No account exists with the provided key')
  const account = createAccount(context, signed, payload, request.address)
  return { ...accountAnswer(context, account), status: 201 }
}

/** The account's own URL: reading, update and deactivation (sections 7.3.2 and 7.3.6). */
export function answerAccount(context: Context, call: Call, request: { body: Buffer; url: string }): Answer {
  const signed = authenticate(context, request, 'account')
  const account = ownAccount(signed, call.id)
  if (signed.payload.length === 0) return accountAnswer(context, account)
  const { contact, status } = payloadOf(signed)
  if (status !== undefined && status !== 'deactivated' && status !== account.status) {
    throw new AcmeProblem('malformed', `Invalid value provided for status field: ${JSON.stringify(status)}`)
  }
  if (status === 'deactivated') {
    account.status = 'deactivated'
    context.log.add({ kind: 'account', accountId: account.id, what: 'deactivated' })
  } else if (contact !== undefined) {
    account.contact = readContact(contact)
    context.log.add({ kind: 'account', accountId: account.id, what: 'updated' })
  }
  return accountAnswer(context, account)
}

/** The list of an account's orders in pages (section 7.1.2.1). */
export function answerOrders(
  context: Context,
  call: Call,
  request: { body: Buffer; url: string; query: URLSearchParams },
): Answer {
  const signed = authenticate(context, request, 'account')
  expectRead(signed)
  const account = ownAccount(signed, call.id)
  const from = Number(request.query.get('cursor') ?? 0)
  if (!Number.isInteger(from) || from < 0) throw new AcmeProblem('malformed', 'An unusable cursor')
  const orders = account.orderIds.slice(from, from + PAGE).map(context.urls.order)
  const isMore = account.orderIds.length > from + PAGE
  const next = `<${context.urls.orders(account.id)}?cursor=${from + PAGE}>;rel="next"`
  return { status: 200, body: { orders }, headers: isMore ? { link: [next] } : {} }
}

function createAccount(context: Context, signed: Signed, payload: Record<string, unknown>, address: string): Account {
  const { state, settings, limits, log } = context
  if (settings.termsOfService !== null && payload.termsOfServiceAgreed !== true) {
    throw new AcmeProblem('malformed', 'must agree to terms of service')
  }
  const contact = payload.contact === undefined ? [] : readContact(payload.contact)
  const externalKid = readExternalAccount(context, signed, payload.externalAccountBinding)
  limits.spendNewAccount(address)
  const account: Account = { id: newId(), key: signed.key, contact, status: 'valid', externalKid, orderIds: [] }
  state.accounts.set(account.id, account)
  state.accountIdByThumbprint.set(signed.key.thumbprint, account.id)
  if (externalKid !== null) state.usedExternalKids.add(externalKid)
  log.add({ kind: 'account', accountId: account.id, what: 'created' })
  return account
}

function accountAnswer({ urls, settings }: Context, account: Account): Answer {
  const terms = settings.termsOfService === null ? [] : [`<${settings.termsOfService}>;rel="terms-of-service"`]
  return {
    status: 200,
    headers: { location: urls.account(account.id), link: terms },
    body: {
      status: account.status,
      contact: account.contact,
      orders: urls.orders(account.id),
      ...(settings.termsOfService === null ? {} : { termsOfServiceAgreed: true }),
      key: account.key.jwk,
    },
  }
}

function ownAccount(signed: Signed, id: string): Account {
  const account = signerOf(signed)
  if (account.id !== id) throw new AcmeProblem('unauthorized', 'Request signing key did not match account key')
  return account
}

/** RFC 8555 section 7.3: `mailto:` URLs of one address without header fields. */
function readContact(value: unknown): string[] {
  if (!Array.isArray(value) || !value.every((item) => typeof item === 'string')) {
    throw new AcmeProblem('malformed', 'contact is no list of URLs')
  }
  if (value.length > MOST_CONTACTS)
    throw new AcmeProblem('invalidContact', `too many contacts provided: ${value.length} > ${MOST_CONTACTS}`)
  for (const contact of value) {
    if (!contact.startsWith('mailto:'))
      throw new AcmeProblem(
        'unsupportedContact',
        `contact method of ${JSON.stringify(contact)} is not supported; only "mailto" is`,
      )
    const address = contact.slice('mailto:'.length)
    if (!ADDRESS.test(address))
      throw new AcmeProblem('invalidContact', `${JSON.stringify(address)} is not one e-mail address`)
  }
  return value
}
