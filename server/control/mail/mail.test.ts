import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { quietLog } from '../../test/certificate-rig.ts'
import { createTestDatabase } from '../../test/database.ts'
import { until } from '../../test/publish-rig.ts'
import { startTestSmtp, type TestSmtp } from '../../test/smtp.ts'
import type { Db } from '../db.ts'
import type { MailAccount } from './account.ts'
import { retryMail } from './backoff.ts'
import { startMailLoop } from './outbox.ts'
import { headerText, isPlainAddress } from './rules.ts'
import { MailError, type SendLimits, sendMail } from './send.ts'
import { insertMails } from './store.ts'

const CHILD = fileURLToPath(new URL('../../test/mail-child.ts', import.meta.url))
const HOUR_MS = 3_600_000

function accountAt(smtp: TestSmtp, some: Partial<MailAccount> = {}): MailAccount {
  const plain = { security: 'none', user: null, replyTo: null, password: null } as const
  return { host: 'localhost', port: smtp.port, from: 'panel@example.test', ...plain, ...some }
}

function mailTo(recipient: string, some: { subject?: string; text?: string } = {}) {
  const { subject = 'Hello', text = 'How are you?\n' } = some
  return { tenantId: null, recipient, subject, text, html: `<p>${text}</p>` }
}

const outgoing = (recipient: string, some = {}) => ({
  ...mailTo(recipient, some),
  id: '0190a0b0-0000-7000-8000-000000000001',
  createdAt: new Date(),
})

function startLoop(db: Db, account: () => MailAccount | null, limits: SendLimits = {}): AsyncDisposable {
  const loop = startMailLoop({ db, log: quietLog(), account: async () => account(), limits, random: () => 0.5 })
  return { [Symbol.asyncDispose]: () => loop.stop() }
}

const queue = (db: Db, ...recipients: string[]) =>
  db.$transaction((tx) =>
    insertMails(
      tx,
      recipients.map((recipient) => mailTo(recipient)),
    ),
  )

describe('a mail is sent', () => {
  test('with TLS from the first byte, signed in', async () => {
    await using smtp = await startTestSmtp({ security: 'tls', password: 'open sesame' })
    const account = accountAt(smtp, { security: 'tls', user: 'me', password: 'open sesame', trustRootPem: smtp.caPem })
    expect(await sendMail(account, outgoing('a@example.test'))).toContain('queued as 42')
    expect(smtp.mails).toMatchObject([{ to: ['a@example.test'], user: 'me', isEncrypted: true }])
  })

  test('with STARTTLS, and no password goes before it', async () => {
    await using smtp = await startTestSmtp({ security: 'starttls', password: 'open sesame' })
    const secret = { user: 'me', password: 'open sesame', trustRootPem: smtp.caPem }
    await sendMail(accountAt(smtp, { security: 'starttls', ...secret }), outgoing('a@example.test'))
    expect(smtp.mails).toMatchObject([{ from: 'panel@example.test', user: 'me', isEncrypted: true }])
    const order = smtp.commands.map((line) => line.split(' ')[0])
    expect(order.indexOf('STARTTLS')).toBeLessThan(order.indexOf('AUTH'))
  })

  test('as text and HTML, from one address, with an id of its own', async () => {
    await using smtp = await startTestSmtp()
    await sendMail(accountAt(smtp, { replyTo: 'help@example.test' }), outgoing('a@example.test'))
    const data = smtp.mails[0]?.data ?? ''
    expect(data).toMatch(/^From: Nameplate <panel@example\.test>\r$/m)
    expect(data).toMatch(/^Reply-To: help@example\.test\r$/m)
    expect(data).toMatch(/^Message-ID: <0190a0b0-0000-7000-8000-000000000001@example\.test>\r$/m)
    expect(data).toMatch(/^Auto-Submitted: auto-generated\r$/m)
    expect(data).toContain('text/plain')
    expect(data).toContain('text/html')
  })
})

describe('a mail is not sent', () => {
  test.each([
    ['to a server whose certificate nobody trusts', 'starttls', 'none', {}],
    ['without STARTTLS where it is asked for', 'none', 'none', { security: 'starttls' }],
    ['with a wrong password', 'starttls', 'none', { password: 'guess', trusted: true }],
    ['to a server that says nothing', 'none', 'silent', {}],
    ['to a server that drips', 'none', 'drip', {}],
  ] as const)('%s: the server is at fault', async (_, security, fault, chosen) => {
    const { trusted, ...some }: { trusted?: boolean; security?: 'starttls'; password?: string } = chosen
    await using smtp = await startTestSmtp({ security, password: security === 'starttls' ? 'open sesame' : null })
    smtp.fault = fault
    const account = accountAt(smtp, {
      security: security === 'starttls' ? 'starttls' : 'none',
      ...(trusted === true ? { user: 'me', trustRootPem: smtp.caPem } : {}),
      ...some,
    })
    const limits = { greetingMs: 400, idleMs: 400, wholeMs: 1_500 }
    const error = await sendMail(account, outgoing('a@example.test'), limits).catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(MailError)
    expect(error).toMatchObject({ isServer: true, message: expect.stringContaining(`localhost:${smtp.port}`) })
    expect(String(error)).not.toContain('guess')
    expect(smtp.mails).toEqual([])
  })

  test('to a recipient whom the server does not know: other mails may go', async () => {
    await using smtp = await startTestSmtp()
    smtp.fault = 'refuse-recipient'
    const sent = sendMail(accountAt(smtp), outgoing('a@example.test'))
    await expect(sent).rejects.toMatchObject({ isServer: false, message: expect.stringContaining('550 5.1.1') })
  })

  test('where nobody listens', async () => {
    const smtp = await startTestSmtp()
    await smtp[Symbol.asyncDispose]()
    await expect(sendMail(accountAt(smtp), outgoing('a@example.test'))).rejects.toMatchObject({ isServer: true })
  })
})

describe('nothing of a mail becomes a header or a command', () => {
  test.each([
    'a@example.test\r\nRCPT TO:<b@example.test>',
    'a@example.test,b@example.test',
    'A <a@example.test>',
    '<a@example.test>',
    'a@example.test>',
    '"a b"@example.test',
    'a@b@example.test',
    'group:a@example.test;',
    'a@[127.0.0.1]',
    'a\u2028@example.test',
    '@example.test',
    '',
  ])('no recipient: %j', async (recipient) => {
    await using smtp = await startTestSmtp()
    expect(isPlainAddress(recipient)).toBe(false)
    await expect(sendMail(accountAt(smtp), outgoing(recipient))).rejects.toBeInstanceOf(MailError)
    expect(smtp.commands).toEqual([])
  })

  test('whatever a subject or a text holds', async () => {
    await using smtp = await startTestSmtp()
    const line = fc.string({ unit: 'binary', maxLength: 60 })
    const nasty = fc
      .array(
        fc.oneof(
          line,
          fc.constantFrom('\r\nBcc: evil@example.test', '\n.\r\n', '\r\n.\r\nMAIL FROM:<x@y>', '\u2028X: y'),
        ),
      )
      .map((parts) => parts.join(''))
    await fc.assert(
      fc.asyncProperty(nasty, nasty, async (subject, text) => {
        expect(headerText(subject)).not.toMatch(/[\r\n\0\u2028\u2029\u0085]/)
        const before = smtp.mails.length
        await sendMail(accountAt(smtp), outgoing('a@example.test', { subject: `S${subject}`, text: `T${text}` }))
        expect(smtp.mails).toHaveLength(before + 1)
        const { to, data } = smtp.mails.at(-1) ?? { to: [], data: '' }
        expect(to).toEqual(['a@example.test'])
        const head = data.slice(0, data.indexOf('\r\n\r\n'))
        const fields = head
          .replace(/\r\n[ \t]/g, ' ')
          .split('\r\n')
          .map((field) => field.split(':')[0]?.toLowerCase())
        expect(new Set(fields)).toEqual(
          new Set(['from', 'to', 'subject', 'message-id', 'date', 'auto-submitted', 'mime-version', 'content-type']),
        )
        expect(fields).toHaveLength(8)
      }),
      { numRuns: 60 },
    )
    expect(smtp.commands.filter((command) => command.includes('evil'))).toEqual([])
  })
})

test('tries grow apart and end after three days', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 60 }), fc.double({ min: 0, max: 0.999, noNaN: true }), (attempts, random) => {
      const wait = retryMail(attempts, 0, random) ?? 0
      expect(wait).toBeGreaterThanOrEqual(48_000)
      expect(wait).toBeLessThanOrEqual(7.2 * HOUR_MS)
      expect(retryMail(attempts + 1, 0, 0.5)).toBeGreaterThanOrEqual(retryMail(attempts, 0, 0.5) ?? 0)
      expect(retryMail(attempts, 72 * HOUR_MS, random)).toBeNull()
    }),
  )
})

describe('the outbox', () => {
  test('is sent once by several senders, and nobody waits for a server that is not set', async () => {
    await using database = await createTestDatabase()
    await using smtp = await startTestSmtp()
    smtp.fault = 'hold'
    const { db } = database
    const recipients = Array.from({ length: 30 }, (_, at) => `p${at}@example.test`)
    await queue(db, ...recipients)
    let account: MailAccount | null = null
    await using _a = startLoop(db, () => accountAt(smtp))
    await using _b = startLoop(db, () => accountAt(smtp))
    await using _c = startLoop(db, () => account)
    await until('mails of both senders are held', () => smtp.mostAtOnce() === 8)
    account = accountAt(smtp)
    smtp.fault = 'none'
    smtp.release()
    await until('all are sent', async () => (await db.mailMessage.count({ where: { sentAt: null } })) === 0)
    expect(smtp.mails.flatMap(({ to }) => to).sort()).toEqual([...recipients].sort())
    expect(await db.mailMessage.count({ where: { attempts: 1 } })).toBe(30)
  })

  test('of a sender that was killed after the server had the mail is sent again, as the same mail', async () => {
    await using database = await createTestDatabase()
    await using smtp = await startTestSmtp()
    const { db } = database
    smtp.fault = 'hold'
    await queue(db, 'a@example.test')
    const child = spawn(process.execPath, [CHILD, database.url, String(smtp.port)], { stdio: 'inherit' })
    await until('the server has the mail', () => smtp.mails.length === 1)
    // While it is held, nobody else takes it.
    await using _other = startLoop(db, () => accountAt(smtp))
    child.kill('SIGKILL')
    await once(child, 'exit')
    expect(smtp.mails).toHaveLength(1)
    expect(await db.mailMessage.findFirst()).toMatchObject({ sentAt: null, attempts: 1 })
    smtp.fault = 'none'
    await db.mailMessage.updateMany({ data: { leaseExpiresAt: new Date(Date.now() - 1_000) } })
    await until('it is sent', async () => (await db.mailMessage.count({ where: { sentAt: { not: null } } })) === 1)
    const ids = smtp.mails.map(({ data }) => /^Message-ID: (.*)\r$/m.exec(data)?.[1])
    expect(ids).toHaveLength(2)
    expect(new Set(ids).size).toBe(1)
  })

  test('keeps what the server did not take, and gives up after three days with an event', async () => {
    await using database = await createTestDatabase()
    await using smtp = await startTestSmtp()
    const { db } = database
    smtp.fault = 'drop-after-data'
    await queue(db, 'a@example.test')
    await using _loop = startLoop(db, () => accountAt(smtp))
    const failed = () => db.mailMessage.findFirstOrThrow()
    await until('a try has failed', async () => (await failed()).lastError !== null)
    expect(await failed()).toMatchObject({ attempts: 1, sentAt: null, givenUpAt: null, leaseExpiresAt: null })
    expect((await failed()).dueAt?.getTime()).toBeGreaterThan(Date.now() + 30_000)
    smtp.fault = 'refuse-mail'
    await db.mailMessage.updateMany({ data: { dueAt: new Date(), createdAt: new Date(Date.now() - 73 * HOUR_MS) } })
    await until('it is given up', async () => (await failed()).givenUpAt !== null)
    expect(await failed()).toMatchObject({ attempts: 2, sentAt: null, dueAt: null })
    const detail = { recipient: 'a@example.test', attempts: 2, reason: expect.stringContaining('554 5.6.0') }
    expect(await db.event.findMany()).toMatchObject([{ action: 'mail.given-up', tenantId: null, detail }])
  })

  test('rests when the server is down: one try tells it, and the others are not counted', async () => {
    await using database = await createTestDatabase()
    await using smtp = await startTestSmtp({ security: 'starttls', password: 'open sesame' })
    const { db } = database
    await queue(db, ...Array.from({ length: 12 }, (_, at) => `p${at}@example.test`))
    const secret = { user: 'me', password: 'guess', trustRootPem: smtp.caPem }
    await using _loop = startLoop(db, () => accountAt(smtp, { security: 'starttls', ...secret }))
    await until('all wait', async () => (await db.mailMessage.count({ where: { dueAt: { gt: new Date() } } })) === 12)
    expect(await db.mailMessage.count({ where: { attempts: 1 } })).toBeLessThanOrEqual(4)
    expect(await db.mailMessage.count({ where: { attempts: 0 } })).toBeGreaterThanOrEqual(8)
  })
})
