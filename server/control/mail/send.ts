import { Socket } from 'node:net'
import { createTransport } from 'nodemailer'
import type { MailAccount } from './account.ts'
import { headerText, isPlainAddress } from './rules.ts'

/** Limits of one try in milliseconds; `wholeMs` is for all of it and well below the lease of a claimed mail. */
const limits = { dnsMs: 10_000, connectMs: 10_000, greetingMs: 15_000, idleMs: 20_000, wholeMs: 60_000 }
const MAX_ANSWER_BYTES = 64 * 1_024
const MAX_DETAIL_LENGTH = 300

/** One mail to one recipient. `id` makes its Message-ID, the same at each try, so that a mail that came twice can be told. */
export type OutgoingMail = {
  readonly id: string
  readonly recipient: string
  readonly subject: string
  readonly text: string
  readonly html: string
  readonly createdAt: Date
}

/**
 * The mail server did not take a mail. `isServer`: it would take no other one either (not reached, not signed in).
 * `message` says what it said, fit for an admin's eyes.
 */
export class MailError extends Error {
  override name = 'MailError'
  readonly isServer: boolean
  constructor(message: string, isServer: boolean, cause?: unknown) {
    super(message, { cause })
    this.isServer = isServer
  }
}

/** How long a try may take, for tests. */
export type SendLimits = Partial<typeof limits>

/**
 * Sends one mail over a connection of its own and returns what the server answered to it. Nothing of the mail can
 * become a header field or an SMTP command. Throws `MailError`; ends within a minute whatever the server does.
 */
export async function sendMail(account: MailAccount, mail: OutgoingMail, some: SendLimits = {}): Promise<string> {
  if (!isPlainAddress(mail.recipient)) throw new MailError('the recipient is not one plain address', false)
  const bounds = { ...limits, ...some }
  // A socket of our own: the library's limits begin anew with each byte, ours does not.
  const socket = new Socket()
  const deadline = setTimeout(() => socket.destroy(new Error('no end in time')), bounds.wholeMs)
  const transport = createTransport({ ...connectionOf(account, bounds), socket })
  try {
    const { response } = await transport.sendMail(messageOf(account, mail))
    return detailOf(response)
  } catch (error) {
    throw mailError(account, error)
  } finally {
    clearTimeout(deadline)
    transport.close()
    socket.destroy()
  }
}

/** The Message-ID of a mail (RFC 5322 section 3.6.4). */
export function messageIdOf(account: { readonly from: string }, id: string): string {
  return `<${id}@${account.from.slice(account.from.indexOf('@') + 1)}>`
}

function connectionOf(account: MailAccount, bounds: typeof limits) {
  const { host, port, security, user, password, trustRootPem } = account
  return {
    host,
    port,
    secure: security === 'tls',
    requireTLS: security === 'starttls',
    ignoreTLS: security === 'none',
    dnsTimeout: bounds.dnsMs,
    connectionTimeout: bounds.connectMs,
    greetingTimeout: bounds.greetingMs,
    socketTimeout: bounds.idleMs,
    socketCloseTimeout: 1_000,
    maxResponseSize: MAX_ANSWER_BYTES,
    allowInternalNetworkInterfaces: true,
    disableFileAccess: true,
    disableUrlAccess: true,
    tls: { minVersion: 'TLSv1.2' as const, ...(trustRootPem == null ? {} : { ca: trustRootPem }) },
    ...(user === null ? {} : { auth: { user, pass: password ?? '' } }),
  }
}

function messageOf(account: MailAccount, mail: OutgoingMail) {
  return {
    from: { name: 'Nameplate', address: account.from },
    to: { name: '', address: mail.recipient },
    ...(account.replyTo === null ? {} : { replyTo: { name: '', address: account.replyTo } }),
    envelope: { from: account.from, to: [mail.recipient] },
    subject: headerText(mail.subject),
    text: mail.text,
    html: mail.html,
    messageId: messageIdOf(account, mail.id),
    date: mail.createdAt,
    // Nobody answers these automatically (RFC 3834 section 5).
    headers: { 'Auto-Submitted': 'auto-generated' },
  }
}

/** Of what is refused, only the envelope and the content are about this one mail. */
const aboutTheMail = new Set(['EENVELOPE', 'EMESSAGE'])

function mailError(account: MailAccount, cause: unknown): MailError {
  const { code, command, message, response } = cause as Error & { code?: string; command?: string; response?: string }
  const isRefusal = aboutTheMail.has(code ?? '') || command === 'DATA'
  const said = response === undefined ? message : `it answered "${response}"`
  return new MailError(
    detailOf(`The mail server ${account.host}:${account.port} did not take the mail: ${said}`),
    !isRefusal,
    cause,
  )
}

function detailOf(text: string): string {
  return headerText(text).slice(0, MAX_DETAIL_LENGTH)
}
