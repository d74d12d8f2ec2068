import { randomBytes } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { makePeople } from '../../test/api.ts'
import { createTenantSite, createVerifiedHostname } from '../../test/certificate-rig.ts'
import { createTestDatabase, type TestDatabase } from '../../test/database.ts'
import type { Db } from '../db.ts'
import { DIGEST_MS, tellTenants } from './digest.ts'
import { usualWaitMs } from './loop.ts'
import { lookAtPlatform } from './platform.ts'
import { lookAtCertificates } from './watch.ts'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
const start = new Date()
const later = (ms: number): Date => new Date(start.getTime() + ms)
const PANEL = 'https://panel.example.test'

let database: TestDatabase
let db: Db
let tenantId: string
beforeEach(async () => {
  database = await createTestDatabase()
  db = database.db
  tenantId = (await makePeople(db)).tenantId
})
afterEach(() => database[Symbol.asyncDispose]())

const look = (at: Date): Promise<void> => lookAtCertificates(db, () => at, usualWaitMs)
const tell = (at: Date): Promise<void> => tellTenants(db, at, PANEL)
/** As the loop does, at that time. */
async function pass(at: Date): Promise<void> {
  await look(at)
  await lookAtPlatform(db, at, () => null)
  await tell(at)
}
const mails = () => db.mailMessage.findMany({ orderBy: [{ createdAt: 'asc' }, { recipient: 'asc' }] })
const recipients = async () => (await mails()).map(({ recipient }) => recipient.split('@')[0])

const problem = (name: string, code = 'CONNECTION') => ({ code, detail: `The CA could not reach ${name}.`, at: '' })

async function failing(name: string, some: { owner?: string; code?: string; issuerId?: string } = {}): Promise<string> {
  const { owner = tenantId, code = 'CONNECTION', issuerId = null } = some
  const data = { tenantId: owner, names: [name], state: 'failing', problem: problem(name, code), failures: 1 } as const
  return (await db.certificate.create({ data: { ...data, names: [name], issuerId, dueAt: later(HOUR_MS) } })).id
}

async function addVersion(certificateId: string, notAfter: Date): Promise<string> {
  const fingerprint = randomBytes(32).toString('hex')
  const issued = { serial: '1', names: ['a.test'], keyAlgorithm: 'ec', chainPem: 'chain', keySealed: new Uint8Array(1) }
  const data = { certificateId, fingerprint, ...issued, notBefore: later(-DAY_MS), notAfter }
  return (await db.certificateVersion.create({ data })).id
}

/** As an activation does. */
async function mend(id: string, notAfter = later(90 * DAY_MS)): Promise<void> {
  const versionId = await addVersion(id, notAfter)
  await db.$executeRaw`
    update certificate set state = 'valid', problem = null, failures = 0, active_version_id = ${versionId}::uuid
     where id = ${id}::uuid`
}

describe('mails to tenants', () => {
  test('500 names that fail within ten minutes are one mail to each owner and member', async () => {
    const name = (at: number): string => `n${at}.example.test`
    for (const [from, ms] of [
      [0, 0],
      [250, DIGEST_MS / 2],
    ] as const) {
      await db.certificate.createMany({
        data: Array.from({ length: 250 }, (_, at) => ({
          tenantId,
          names: [name(from + at)],
          state: 'failing' as const,
          problem: problem(name(from + at)),
        })),
      })
      await pass(later(ms))
    }
    await failing('alone.test', { owner: (await db.tenant.findFirstOrThrow({ where: { name: 'Other' } })).id })
    expect(await mails()).toEqual([])
    await pass(later(DIGEST_MS))
    expect(await recipients()).toEqual(['member', 'owner'])
    const [mail] = await mails()
    expect(mail?.subject).toBe('500 names need a look')
    for (let at = 0; at < 500; at += 1) expect(mail?.text).toContain(`- ${name(at)}\n`)
    expect(mail?.text).toContain('for example: The CA could not reach')
    expect(mail?.text).toContain(`${PANEL}/certificates`)
    expect(mail?.text).not.toContain('alone.test')
    await pass(later(2 * DIGEST_MS))
    expect(await recipients()).toEqual(['member', 'owner', 'stranger'])
    await pass(later(DAY_MS))
    expect(await mails()).toHaveLength(3)
  })

  test('several processes and restarts tell nothing twice and forget nothing', async () => {
    for (let at = 0; at < 300; at += 1) await failing(`n${at}.example.test`)
    await Promise.all([look(start), look(start), look(start)])
    expect(await db.notice.count()).toBe(300)
    await Promise.all([pass(later(1_000)), pass(later(2_000))])
    const due = later(DIGEST_MS)
    await Promise.all([tell(due), tell(due), tell(due)])
    await pass(later(2 * DIGEST_MS))
    expect(await mails()).toHaveLength(2)
    expect(await db.notice.count({ where: { toldAt: null } })).toBe(0)
  })

  test('a failure that mends itself before the mail is no mail; one that was told is told to be fine', async () => {
    const quick = await failing('quick.example.test')
    const slow = await failing('slow.example.test')
    await pass(start)
    await mend(quick)
    await pass(later(DIGEST_MS))
    expect((await mails()).map(({ subject }) => subject)).toEqual(
      Array(2).fill('There is no certificate yet: slow.example.test'),
    )
    expect((await mails())[0]?.text).toContain(`${PANEL}/certificates/${slow}`)
    await mend(slow)
    await pass(later(3 * DIGEST_MS))
    await pass(later(4 * DIGEST_MS))
    const news = (await mails()).slice(2)
    expect(news.map(({ subject }) => subject)).toEqual(
      Array(2).fill('The certificate is fine again: slow.example.test'),
    )
    // Nothing is watched any more.
    expect(await db.certificateWatch.count()).toBe(0)
  })

  test('a name that somebody else has proven is told; a name that was removed is not', async () => {
    const site = await createTenantSite(db)
    const hostnameId = await createVerifiedHostname(db, site, 'gone.example.test')
    const recipient = await db.user.create({ data: { email: 'theirs@example.test' } })
    await db.membership.create({ data: { tenantId: site.tenantId, userId: recipient.id, role: 'owner' } })
    const gone = await failing('gone.example.test', { owner: site.tenantId })
    const removed = await failing('removed.example.test', { owner: site.tenantId })
    await look(start)
    await db.hostname.update({ where: { id: hostnameId }, data: { ownershipState: 'released' } })
    await db.certificate.updateMany({ where: { id: { in: [gone, removed] } }, data: { state: 'retired' } })
    await pass(later(1_000))
    await pass(later(2 * DIGEST_MS))
    expect((await mails()).map(({ subject }) => subject)).toEqual([
      'No certificate is kept for this name any more: gone.example.test',
    ])
  })

  test('time that runs out is an event and a mail, for uploads too', async () => {
    const data = { tenantId, names: ['own.example.test'], source: 'uploaded', dueAt: null } as const
    const { id } = await db.certificate.create({ data: { ...data, names: ['own.example.test'] } })
    // Of 200 days.
    await mend(id, later(199 * DAY_MS))
    await pass(start)
    expect(await db.notice.count()).toBe(0)
    await pass(later(180 * DAY_MS))
    const events = await db.event.findMany({ where: { action: 'certificate.expiring' } })
    expect(events).toMatchObject([{ tenantId, subjectId: id, detail: { notice: 'expires-21' } }])
    await pass(later(181 * DAY_MS))
    expect((await mails())[0]?.subject).toBe('An uploaded certificate is going to expire: own.example.test')
    await pass(later(200 * DAY_MS))
    expect(await db.event.count({ where: { action: 'certificate.expired' } })).toBe(1)
  })

  test('a suspended tenant hears of it when it is not suspended any more', async () => {
    await db.tenant.update({ where: { id: tenantId }, data: { state: 'suspended' } })
    await failing('a.example.test')
    await pass(start)
    await pass(later(DAY_MS))
    expect(await mails()).toEqual([])
    await db.tenant.update({ where: { id: tenantId }, data: { state: 'active' } })
    await pass(later(2 * DAY_MS))
    expect(await recipients()).toEqual(['member', 'owner'])
  })

  test('people who may not sign in, viewers and strangers get none; names are shown as text', async () => {
    await db.user.updateMany({ where: { email: 'member@example.test' }, data: { disabledAt: start } })
    await db.tenant.update({ where: { id: tenantId }, data: { name: '<img src=x>"\r\nBcc: x@y.test' } })
    await failing('a.example.test')
    await pass(start)
    await pass(later(DIGEST_MS))
    expect(await recipients()).toEqual(['owner'])
    const [mail] = await mails()
    expect(mail?.html).not.toContain('<img')
    expect(mail?.html).toContain('&lt;img src=x&gt;')
  })
})

describe('mails to admins', () => {
  const issuer = async () =>
    (await db.issuer.create({ data: { name: 'The CA', kind: 'acme', directoryUrl: 'https://ca.test/dir' } })).id

  test('an issuer that has issued nothing for an hour, then that it does again', async () => {
    const issuerId = await issuer()
    const id = await failing('a.example.test', { code: 'ISSUER_UNREACHABLE', issuerId })
    for (let minutes = 0; minutes <= 75; minutes += 5) await pass(later(minutes * 60_000))
    expect((await mails()).map(({ recipient, subject }) => [recipient, subject])).toEqual([
      ['admin@example.test', 'Certificates cannot be issued: issuer "The CA"'],
    ])
    expect((await mails())[0]?.text).toContain('1 certificate waits')
    await mend(id)
    for (let minutes = 80; minutes <= 120; minutes += 5) await pass(later(minutes * 60_000))
    expect((await mails()).slice(1).map(({ subject }) => subject)).toEqual(['Fine again: issuer "The CA"'])
  })

  test('nothing of an issuer that issues for others', async () => {
    const issuerId = await issuer()
    const certificateId = await failing('a.example.test', { code: 'ISSUER_ERROR', issuerId })
    const order = { certificateId, issuerId, names: ['b.test'], keySealed: new Uint8Array(1) }
    await db.order.create({ data: { ...order, state: 'valid', updatedAt: later(HOUR_MS) } })
    for (let minutes = 0; minutes <= 115; minutes += 5) await pass(later(minutes * 60_000))
    expect(await mails()).toEqual([])
  })

  test('a clock that is wrong', async () => {
    await lookAtPlatform(db, start, () => 400_000)
    await lookAtPlatform(db, later(60_000), () => 400_000)
    await tell(later(DIGEST_MS))
    const all = await mails()
    expect(all.map(({ recipient }) => recipient)).toEqual(['admin@example.test'])
    expect(all[0]?.text).toContain('7 minutes ahead of that of the CA')
    await lookAtPlatform(db, later(HOUR_MS), () => 100)
    expect(await db.platformWatch.count()).toBe(0)
  })
})
