import { X509Certificate } from 'node:crypto'
import { AppError } from '../errors.ts'
import type { MailChange } from './schema.ts'

const MAX_SUBJECT_LENGTH = 200

/** Nothing but a single address: no display name, list, group, comment, quoting or control character (RFC 5321 section 4.1.2). */
const addressPattern = /^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?$/

/** Whether mail may be sent to a text: exactly one plain address, with nothing that a mail server could read otherwise. */
export function isPlainAddress(text: string): boolean {
  return text.length <= 254 && addressPattern.test(text)
}

/** A text as one line of a header: without anything that ends a line or is not seen, and not endless. */
export function headerText(text: string): string {
  // Line and paragraph separators count as line ends to some programs.
  const line = text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu, ' ').trim()
  return line.length <= MAX_SUBJECT_LENGTH ? line : `${line.slice(0, MAX_SUBJECT_LENGTH - 1)}…`
}

/** A text as HTML shows it. */
export function htmlText(text: string): string {
  const entities: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' }
  return text.replace(/[&<>"']/g, (one) => entities[one] ?? one)
}

/** Throws INVALID_INPUT for a mail server that could not, or should not, be used as it is set. */
export function checkMail(mail: MailChange): void {
  if (!isPlainAddress(mail.from)) throw invalid('mail.from', 'must be one plain address such as panel@example.com')
  if (mail.replyTo !== null && !isPlainAddress(mail.replyTo)) throw invalid('mail.replyTo', 'must be one plain address')
  if (mail.security === 'none' && mail.user !== null && !isLoopback(mail.host))
    throw invalid('mail.security', 'a user and password would cross the network unencrypted: use "tls" or "starttls"')
  if (typeof mail.password === 'string' && mail.user === null) throw invalid('mail.user', 'a password needs a user')
  if (mail.trustRootPem !== undefined && mail.trustRootPem !== null && !isPem(mail.trustRootPem))
    throw invalid('mail.trustRootPem', 'is not one or more certificates in PEM')
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(host)
}

function isPem(text: string): boolean {
  const blocks = text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? []
  try {
    return blocks.map((block) => new X509Certificate(block)).length > 0
  } catch {
    return false
  }
}

function invalid(field: string, detail: string): AppError {
  return new AppError('INVALID_INPUT', `${field}: ${detail}.`, { errors: [{ field, detail }] })
}
