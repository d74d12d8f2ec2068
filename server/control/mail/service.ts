import { randomUUIDv7 } from 'node:crypto'
import { type Actor, requireAdmin } from '../auth/access.ts'
import { AppError } from '../errors.ts'
import type { MailAccount } from './account.ts'
import type { MailTest, MailTestResult } from './schema.ts'
import { MailError, messageIdOf, type SendLimits, sendMail } from './send.ts'

/** Mail, for administrators. */
export type MailService = {
  /** Sends a mail at once, past the outbox, and says what the server answered. Throws MAIL_NOT_SET or MAIL_FAILED. */
  test(actor: Actor, input: MailTest): Promise<MailTestResult>
}

/** Makes the service; `account` is the mail server as it is set now. */
export function createMailService(deps: {
  readonly account: () => Promise<MailAccount | null>
  readonly limits?: SendLimits
}): MailService {
  return {
    async test(actor, { to }) {
      requireAdmin(actor)
      const account = await deps.account()
      if (account === null)
        throw new AppError('MAIL_NOT_SET', 'Set the mail server first: the field "mail" of PATCH /settings.')
      const id = randomUUIDv7()
      const text = 'This mail was sent to see whether mail works. It does: nothing is to be done.\n'
      const mail = { id, recipient: to, subject: 'A test of mail', text, html: `<p>${text}</p>`, createdAt: new Date() }
      try {
        return { messageId: messageIdOf(account, id), response: await sendMail(account, mail, deps.limits) }
      } catch (error) {
        if (!(error instanceof MailError)) throw error
        throw new AppError('MAIL_FAILED', `${error.message.replace(/\.$/, '')}.`, { cause: error })
      }
    },
  }
}
