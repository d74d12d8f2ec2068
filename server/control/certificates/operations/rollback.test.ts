import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type ApiRig, type Kind, kinds, statusByKind } from '../../../test/api.ts'
import { certificateInState, eventually, quietLog, startManager } from '../../../test/certificate-rig.ts'
import { createUploadRig } from '../../../test/upload-rig.ts'
import { planCertificate } from '../plan.ts'
import { renewAt } from '../renewal.ts'
import { seedIssuer } from '../seed.ts'
import { heldUntil } from './hold.ts'
import { keyFingerprint } from './revocation-store.ts'

const row = (...statuses: number[]): Record<Kind, number> =>
  Object.fromEntries(kinds.map((kind, index) => [kind, statuses[index] ?? 0])) as Record<Kind, number>
const unset = { acmeCaFile: null, acmeEabKid: null, acmeEabHmacKey: null, acmeEmail: null, acmeProfile: null }
const HOUR_MS = 3_600_000

const seedLocal = ({ db, vault }: ApiRig) =>
  seedIssuer(db, vault, { ...unset, acmeDirectory: null, acmeTermsAgreed: false }, quietLog(), 'test')

test('property: a roll-back holds until the planned renewal, or for half of what is left, and always leaves time', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: HOUR_MS, max: 398 * 24 * HOUR_MS }),
      fc.double({ min: 0, max: 0.999, noNaN: true }),
      (lifetimeMs, age) => {
        const notBefore = new Date('2026-01-01T00:00:00Z')
        const notAfter = new Date(notBefore.getTime() + lifetimeMs)
        const now = new Date(notBefore.getTime() + Math.floor(lifetimeMs * age))
        const held = heldUntil({ notBefore, notAfter }, now)
        const leftMs = notAfter.getTime() - now.getTime()
        expect(held.getTime()).toBeGreaterThan(now.getTime() + Math.floor(leftMs / 2) - 1)
        expect(notAfter.getTime() - held.getTime()).toBeGreaterThanOrEqual(Math.min(leftMs / 2 - 1, lifetimeMs / 3))
        const planned = renewAt({ notBefore, notAfter }, () => 0)
        if (planned.getTime() > now.getTime() + leftMs / 2) expect(held).toEqual(planned)
        // Whoever wakes the certificate before, and whichever issuer is preferred now, nothing is ordered.
        const certificate = {
          names: ['a.test'],
          state: 'valid',
          source: 'issued' as const,
          openOrder: null,
          hostnames: ['verified'],
          heldUntil: held,
          renewAt: held,
          window: null,
          pollAt: null,
          isRehearsing: false,
          preferredIssuerIds: [],
          shunned: {},
          provesByDns: false,
        }
        const issuers = [
          {
            id: 'other',
            kind: 'local' as const,
            isEnabled: true,
            priority: 1,
            circuitOpenUntil: null,
            failingSince: null,
          },
        ]
        const active = { issuerId: 'one', notBefore, notAfter }
        expect(planCertificate({ ...certificate, active }, issuers, now)).toEqual({
          kind: 'wait',
          until: held,
          isFresh: true,
        })
        expect(planCertificate({ ...certificate, active }, issuers, held)).toMatchObject({ kind: 'order' })
        expect(
          planCertificate({ ...certificate, active: { ...active, revocationWantedAt: now } }, issuers, now),
        ).toMatchObject({ kind: 'order', reason: 'reissue' })
      },
    ),
  )
})

test('who may revoke, roll back, and change accounts', async () => {
  await using rig = await createUploadRig()
  await rig.addHostname('www.access.test')
  const { id } = await rig.upload(await rig.authority.issue(['www.access.test']))
  await seedLocal(rig)
  const issuer = await rig.db.issuer.findFirstOrThrow()
  const tenantWrites = (good: number) => row(401, 404, 403, good, good, 403, good)
  const adminWrites = (good: number) => row(401, 403, 403, 403, 403, 403, good)
  const table: [string, Parameters<typeof statusByKind>[1], Record<Kind, number>][] = [
    [
      'revoke',
      { method: 'POST', url: `/certificates/${id}/revoke?dryRun=true`, payload: { reason: 'superseded' } },
      tenantWrites(202),
    ],
    ['rollback', { method: 'POST', url: `/certificates/${id}/rollback`, payload: {} }, tenantWrites(409)],
    ['rollover', { method: 'POST', url: `/issuers/${issuer.id}/rollover` }, adminWrites(409)],
    ['deactivate', { method: 'POST', url: `/issuers/${issuer.id}/deactivate-account` }, adminWrites(409)],
  ]
  for (const [what, call, expected] of table)
    expect({ what, ...(await statusByKind(rig, call)) }).toEqual({ what, ...expected })
  expect(await rig.db.operation.count()).toBe(0)
  const wrong = await rig
    .as('member')
    .inject({ method: 'POST', url: `/certificates/${id}/revoke`, payload: { reason: 'cACompromise' } })
  expect(wrong.json()).toMatchObject({ status: 400, code: 'INVALID_INPUT' })
  const asked = await rig
    .as('member')
    .inject({ method: 'POST', url: `/certificates/${id}/revoke`, payload: { reason: 'superseded' } })
  const operation = { method: 'GET', url: asked.headers.location?.toString().replace('/api/v1', '') ?? '' } as const
  expect(await statusByKind(rig, operation)).toEqual(row(401, 404, 200, 200, 200, 200, 200))
  const platform = await rig.db.operation.create({ data: { kind: 'rollover', tenantId: null, issuerId: issuer.id } })
  const own = { method: 'GET', url: `/operations/${platform.id}` } as const
  expect(await statusByKind(rig, own)).toEqual(row(401, 403, 403, 403, 403, 200, 200))
})

test('a roll-back of an issued certificate ends what is under way, and the manager leaves it alone until somebody renews', async () => {
  await using rig = await createUploadRig()
  const { db, vault, databaseUrl: url } = rig
  await seedLocal(rig)
  await rig.addHostname('www.back.test')
  const member = rig.as('member')
  const post = (path: string, payload?: object) =>
    member.inject({ method: 'POST', url: `/certificates/${path}`, ...(payload === undefined ? {} : { payload }) })
  const versions = () => db.certificateVersion.count()
  const manager = startManager({ db, url }, { vault })
  const first = await certificateInState(db, 'www.back.test', 'valid')
  const { id } = first
  expect((await post(`${id}/rollback`, {})).json().detail).toContain('no earlier version')
  await post(`${id}/renew`)
  await eventually(async () => (await versions()) === 2, 'a second version')
  await certificateInState(db, 'www.back.test', 'valid')
  await manager[Symbol.asyncDispose]()

  // An order is under way and somebody holds the lease: both end.
  await post(`${id}/renew`)
  const lease = { leaseHolder: rig.tenantId, leaseExpiresAt: new Date(Date.now() + HOUR_MS) }
  await db.certificate.update({ where: { id }, data: lease })
  const dry = await member.inject({ method: 'POST', url: `/certificates/${id}/rollback?dryRun=true`, payload: {} })
  expect(dry.json().state).toBe('succeeded')
  const back = await post(`${id}/rollback`, {})
  expect(back.statusCode).toBe(202)
  const operation = await member.inject({ method: 'GET', url: `/operations/${back.json().id}` })
  expect(operation.json()).toEqual({ id: back.json().id, state: 'succeeded', result: { certificateId: id } })
  const rolled = await db.certificate.findUniqueOrThrow({ where: { id } })
  expect(rolled).toMatchObject({ activeVersionId: first.activeVersionId, state: 'valid', leaseHolder: null })
  expect(await db.order.count({ where: { state: 'abandoned' } })).toBe(1)
  expect(await db.event.findFirst({ where: { action: 'certificate.rolled-back' } })).toMatchObject({ subjectId: id })

  await using _manager = startManager({ db, url }, { vault })
  await db.certificate.update({ where: { id }, data: { dueAt: new Date() } })
  const held = await eventually(async () => {
    const now = await db.certificate.findUniqueOrThrow({ where: { id } })
    return now.dueAt !== null && now.dueAt > new Date() && now
  }, 'the manager has looked')
  expect(held).toMatchObject({ activeVersionId: first.activeVersionId, state: 'valid' })
  expect(await versions()).toBe(2)
  await post(`${id}/renew`)
  await eventually(async () => (await versions()) === 3, 'a third version')
  expect((await certificateInState(db, 'www.back.test', 'valid')).activeVersionId).not.toBe(first.activeVersionId)
})

test('an uploaded one goes back too, never to what is expired, barred, revoked or another’s', async () => {
  await using rig = await createUploadRig()
  const { db } = rig
  await rig.addHostname('www.up.test')
  const first = await rig.authority.issue(['www.up.test'])
  const { id } = await rig.upload(first)
  const second = await rig.authority.issue(['www.up.test'])
  const member = rig.as('member')
  const payload = { certificatePem: second.chainPem, privateKeyPem: second.privateKeyPem }
  await member.inject({ method: 'POST', url: `/certificates/${id}/versions`, payload })
  const rollback = (body: object) =>
    member.inject({ method: 'POST', url: `/certificates/${id}/rollback`, payload: body })
  const one = await db.certificateVersion.findUniqueOrThrow({ where: { fingerprint: first.fingerprint } })
  const two = await db.certificateVersion.findUniqueOrThrow({ where: { fingerprint: second.fingerprint } })
  expect((await rollback({ versionId: two.id })).json().detail).toContain('served now')
  expect((await rollback({ versionId: id })).statusCode).toBe(404)
  expect((await rollback({})).statusCode).toBe(202)
  expect((await db.certificate.findUniqueOrThrow({ where: { id } })).activeVersionId).toBe(one.id)
  expect((await rollback({ versionId: two.id })).statusCode).toBe(202)

  const restore = { notAfter: one.notAfter, revocationWantedAt: null }
  const refusals: [object, string][] = [
    [{ notAfter: new Date(Date.now() - 1_000) }, 'expired'],
    [{ revocationWantedAt: new Date() }, 'revoked'],
  ]
  for (const [data, reason] of refusals) {
    await db.certificateVersion.update({ where: { id: one.id }, data: { ...restore, ...data } })
    expect((await rollback({})).json()).toMatchObject({ status: 409, detail: expect.stringContaining(reason) })
  }
  await db.certificateVersion.update({ where: { id: one.id }, data: restore })
  await db.barredKey.create({ data: { spkiFingerprint: keyFingerprint(one.chainPem) } })
  expect((await rollback({ versionId: one.id })).json().detail).toContain('barred')
  expect((await db.certificate.findUniqueOrThrow({ where: { id } })).activeVersionId).toBe(two.id)
})
