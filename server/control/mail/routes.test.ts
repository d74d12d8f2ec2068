import { afterAll, beforeAll, expect, test } from 'vitest'
import { type ApiRig, createApiRig, kinds, statusByKind } from '../../test/api.ts'
import { platformRoutes } from '../../test/platform-routes.ts'
import { startTestSmtp, type TestSmtp } from '../../test/smtp.ts'

let rig: ApiRig
let smtp: TestSmtp
beforeAll(async () => {
  rig = await createApiRig({ routes: platformRoutes })
  smtp = await startTestSmtp({ security: 'starttls', password: 'open sesame' })
})
afterAll(async () => {
  await smtp[Symbol.asyncDispose]()
  await rig[Symbol.asyncDispose]()
})

const server = () => ({
  host: 'localhost',
  port: smtp.port,
  security: 'starttls',
  user: 'me',
  from: 'panel@example.test',
  replyTo: null,
  trustRootPem: smtp.caPem,
})
const change = (mail: unknown, query = '') =>
  rig.as('admin').inject({ method: 'PATCH', url: `/settings${query}`, payload: { mail } })
const send = () =>
  rig.as('admin').inject({ method: 'POST', url: '/settings/mail/test', payload: { to: 'a@example.test' } })

test('who may send a test mail', async () => {
  const statuses = await statusByKind(rig, { method: 'POST', url: '/settings/mail/test', payload: { to: 'a@b.test' } })
  expect(kinds.map((kind) => statuses[kind]).join(' ')).toBe('401 403 403 403 403 403 409')
})

test('the mail server is set, tried and forgotten, and its password is in no answer, event or row', async () => {
  expect((await send()).json()).toMatchObject({ code: 'MAIL_NOT_SET' })
  const dry = await change({ ...server(), password: 'open sesame' }, '?dryRun=true')
  expect(dry.json().mail).toMatchObject({ hasPassword: true })
  expect(await rig.db.mailSecret.count()).toBe(0)

  const set = await change({ ...server(), password: 'open sesame' })
  expect(set.json().mail).toEqual({ ...server(), hasPassword: true })
  expect((await send()).json()).toMatchObject({
    response: expect.stringContaining('250'),
    messageId: expect.any(String),
  })
  expect(smtp.mails).toMatchObject([{ to: ['a@example.test'], user: 'me', isEncrypted: true }])

  // A change without a password keeps it; another user could not use it.
  expect((await change({ ...server(), replyTo: 'b@example.test' })).json().mail).toMatchObject({ hasPassword: true })
  expect((await send()).statusCode).toBe(200)
  const rows = JSON.stringify([
    await rig.db.event.findMany({ omit: { id: true } }),
    await rig.db.setting.findMany(),
    (await rig.as('support').inject({ url: '/settings' })).json(),
  ])
  expect(rows).not.toContain('open sesame')
  const sealed = await rig.db.mailSecret.findFirstOrThrow()
  expect(Buffer.from(sealed.passwordSealed).toString('latin1')).not.toContain('open sesame')

  await change({ ...server(), password: 'guess' })
  const refused = await send()
  expect([refused.statusCode, refused.json().code]).toEqual([502, 'MAIL_FAILED'])
  expect(refused.json().detail).toContain('535')
  expect(refused.body).not.toContain('guess')

  expect((await change(null)).json().mail).toBeNull()
  expect(await rig.db.mailSecret.count()).toBe(0)
})

test.each([
  ['a second address', { from: 'a@example.test,b@example.test' }],
  ['a line more', { from: 'a@example.test\r\nBcc: b@example.test' }],
  ['a name', { replyTo: 'A <a@example.test>' }],
  ['a password in the clear', { security: 'none', host: 'mail.example.test', password: 'x' }],
  ['a password without a user', { user: null, password: 'x' }],
  ['no port', { port: 0 }],
  ['a host that is none', { host: 'mail example' }],
  ['roots that are none', { trustRootPem: 'root' }],
  ['an unknown field', { hasPassword: true }],
] as const)('%s is refused', async (_, some) => {
  expect((await change({ ...server(), ...some })).json().code).toBe('INVALID_INPUT')
})
