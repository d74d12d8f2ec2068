import type { Logger } from '../../process/log.ts'
import { type Db, write } from '../db.ts'
import { recordEvent } from '../events/record.ts'
import { eachLimited } from '../jobs/limit.ts'
import { type Loop, startLoop } from '../jobs/loop.ts'
import type { MailAccount } from './account.ts'
import { retryMail } from './backoff.ts'
import { MailError, type SendLimits, sendMail } from './send.ts'
import { type ClaimedMail, claimMails, markFailed, markSent, msUntilMail, unclaimMails } from './store.ts'

/** Mails that are sent at the same time. */
const PARALLELISM = 4
const BATCH = 20
const INTERVAL_MS = 10_000
/** Wait for a mail server that takes nothing, with the mails that were not tried. */
const SERVER_PAUSE_MS = 60_000

/** What sends the outbox. */
export type MailLoopDeps = {
  readonly db: Db
  readonly log: Logger
  /** The mail server as it is set now; null: none, mails wait. */
  readonly account: () => Promise<MailAccount | null>
  readonly limits?: SendLimits
  readonly random?: () => number
}

/**
 * Sends the outbox, for ever: each mail at least once, and never by two senders at the same time. One that was
 * sent by a process that died before it could say so comes again, with the same Message-ID, when its lease ends.
 */
export function startMailLoop(deps: MailLoopDeps): Loop {
  const { db } = deps
  return startLoop({
    name: 'mail',
    log: deps.log,
    intervalMs: INTERVAL_MS,
    async pass(signal) {
      const account = await deps.account()
      if (account === null || signal.aborted) return null
      const mails = await claimMails(db, BATCH)
      await sendBatch(deps, account, mails, signal)
      return mails.length === BATCH ? 0 : msUntilMail(db)
    },
  })
}

/** After a failure of the server itself the rest of the batch waits: it would only fail in the same way, more slowly. */
async function sendBatch(
  deps: MailLoopDeps,
  account: MailAccount,
  mails: readonly ClaimedMail[],
  signal: AbortSignal,
): Promise<void> {
  let isDown = false
  const untried: ClaimedMail[] = []
  await eachLimited(mails, PARALLELISM, async (mail) => {
    if (isDown || signal.aborted) untried.push(mail)
    else if (await sendOne(deps, account, mail)) isDown = true
  })
  await unclaimMails(deps.db, untried, isDown ? SERVER_PAUSE_MS : 0)
}

/** Whether the server itself failed. */
async function sendOne(deps: MailLoopDeps, account: MailAccount, mail: ClaimedMail): Promise<boolean> {
  const { db, log } = deps
  try {
    await sendMail(account, mail, deps.limits)
  } catch (error) {
    if (!(error instanceof MailError)) throw error
    log.warn({ mailId: mail.id, attempts: mail.attempts, reason: error.message }, 'a mail was not taken')
    await keepFailure(deps, mail, error.message)
    return error.isServer
  }
  await markSent(db, mail)
  return false
}

async function keepFailure({ db, random }: MailLoopDeps, mail: ClaimedMail, reason: string): Promise<void> {
  const waitMs = retryMail(mail.attempts, mail.ageMs, (random ?? Math.random)())
  await write(db, {}, async (tx) => {
    const isOurs = await markFailed(tx, mail, reason, waitMs)
    if (!isOurs || waitMs !== null) return
    const { id, recipient, subject, attempts } = mail
    await recordEvent(tx, {
      actor: 'system',
      tenantId: null,
      action: 'mail.given-up',
      subjectId: id,
      subjectName: subject,
      detail: { recipient, attempts, reason },
    })
  })
}
