import { expect, test } from 'vitest'
import { type ApiRig, createApiRig, type Kind, kinds, statusByKind } from '../../test/api.ts'
import { createTenantSite, createVerifiedHostname, noDns, quietLog } from '../../test/certificate-rig.ts'
import { startPebble } from '../../test/pebble.ts'
import { issuerRoutes } from './issuer-routes.ts'
import { createIssuerService } from './issuer-service.ts'
import { certificateRoutes } from './routes.ts'
import { seedIssuer } from './seed.ts'
import { createCertificateService } from './service.ts'
import { adoptHostnames } from './store.ts'

const unset = { acmeCaFile: null, acmeEabKid: null, acmeEabHmacKey: null, acmeEmail: null, acmeProfile: null }

/** The API with the local CA and one certificate that is wanted. */
async function createRig(): Promise<{ rig: ApiRig; certificateId: string; issuerId: string }> {
  const rig = await createApiRig({
    routes: ({ db, vault }) => [
      certificateRoutes(createCertificateService({ db, vault, dns: noDns })),
      issuerRoutes(createIssuerService({ db, vault, version: 'test' })),
    ],
  })
  const { db, vault, tenantId } = rig
  await seedIssuer(db, vault, { ...unset, acmeDirectory: null, acmeTermsAgreed: false }, quietLog(), 'test')
  const site = await db.site.create({ data: { tenantId, name: 'site', kind: 'static' } })
  await createVerifiedHostname(db, { tenantId, siteId: site.id }, 'www.routes.test')
  const [adopted] = await db.$transaction((tx) => adoptHostnames(tx, 10))
  const issuer = await db.issuer.findFirstOrThrow()
  return { rig, certificateId: adopted?.certificateId ?? '', issuerId: issuer.id }
}

const row = (...statuses: number[]): Record<Kind, number> =>
  Object.fromEntries(kinds.map((kind, index) => [kind, statuses[index] ?? 0])) as Record<Kind, number>

test('who may call what', async () => {
  const { rig, certificateId, issuerId } = await createRig()
  await using _rig = rig
  // guest, stranger, viewer, member, owner, support, admin
  const table: [string, Parameters<typeof statusByKind>[1], Record<Kind, number>][] = [
    ['list', { method: 'GET', url: '/certificates' }, row(401, 200, 200, 200, 200, 200, 200)],
    ['get', { method: 'GET', url: `/certificates/${certificateId}` }, row(401, 404, 200, 200, 200, 200, 200)],
    ['renew', { method: 'POST', url: `/certificates/${certificateId}/renew` }, row(401, 404, 403, 202, 202, 403, 202)],
    ['issuers', { method: 'GET', url: '/issuers' }, row(401, 403, 403, 403, 403, 200, 200)],
    ['issuer', { method: 'GET', url: `/issuers/${issuerId}` }, row(401, 403, 403, 403, 403, 200, 200)],
    [
      'patch',
      { method: 'PATCH', url: `/issuers/${issuerId}`, payload: { name: 'Ours' } },
      row(401, 403, 403, 403, 403, 403, 200),
    ],
    ['root', { method: 'GET', url: '/issuers/local/root.pem' }, row(200, 200, 200, 200, 200, 200, 200)],
    ['delete', { method: 'DELETE', url: `/issuers/${issuerId}?dryRun=true` }, row(401, 403, 403, 403, 403, 403, 409)],
  ]
  for (const [what, call, expected] of table)
    expect({ what, ...(await statusByKind(rig, call)) }).toEqual({ what, ...expected })
  const order = await rig.db.order.findFirstOrThrow()
  const operation = { method: 'GET', url: `/operations/${order.id}` } as const
  expect(await statusByKind(rig, operation)).toEqual(row(401, 404, 200, 200, 200, 200, 200))
})

test('a renewal is one order however often it is asked for, and nothing of a key is in any answer', async () => {
  const { rig, certificateId } = await createRig()
  await using _rig = rig
  const owner = rig.as('owner')
  const dry = await owner.inject({ method: 'POST', url: `/certificates/${certificateId}/renew?dryRun=true` })
  expect(dry.statusCode).toBe(202)
  expect(await rig.db.order.count()).toBe(0)
  const asked = await Promise.all(
    Array.from({ length: 5 }, () => owner.inject({ method: 'POST', url: `/certificates/${certificateId}/renew` })),
  )
  expect(asked.map(({ statusCode }) => statusCode)).toEqual([202, 202, 202, 202, 202])
  expect(new Set(asked.map((answer) => answer.json().id)).size).toBe(1)
  expect(asked[0]?.headers.location).toBe(`/api/v1/operations/${asked[0]?.json().id}`)
  const certificate = await owner.inject({ method: 'GET', url: `/certificates/${certificateId}` })
  expect(certificate.json()).toMatchObject({
    names: ['www.routes.test'],
    state: 'ordering',
    issuer: { kind: 'local', isPubliclyTrusted: false },
    history: [{ type: 'order', state: 'created' }],
  })
  expect(certificate.body).not.toMatch(/PRIVATE|[kK]eySealed/)
  const stranger = await rig.as('stranger').inject({ method: 'GET', url: '/certificates' })
  expect(stranger.json()).toEqual({ items: [], nextCursor: null })

  await rig.db.certificate.update({ where: { id: certificateId }, data: { state: 'retired' } })
  const late = await owner.inject({ method: 'POST', url: `/certificates/${certificateId}/renew` })
  expect(late.json()).toMatchObject({ status: 409, code: 'CONFLICT' })
})

test('an issuer is added only when its directory answers, its terms are agreed to and its root is one', async () => {
  const { rig, certificateId } = await createRig()
  await using _rig = rig
  await using pebble = await startPebble({ httpPort: 1 })
  const admin = rig.as('admin')
  const post = (payload: object, query = '') => admin.inject({ method: 'POST', url: `/issuers${query}`, payload })
  const good = { name: 'Pebble', directoryUrl: pebble.directoryUrl, trustRootPem: pebble.caPem, termsAgreed: true }
  const refused: [object, number, string][] = [
    [{ ...good, termsAgreed: false }, 422, 'terms'],
    [{ ...good, trustRootPem: 'hello' }, 422, 'PEM'],
    [{ ...good, trustRootPem: undefined }, 422, 'trust root'],
    [{ ...good, directoryUrl: 'https://127.0.0.1:1/dir' }, 422, 'ECONNREFUSED'],
    [{ ...good, directoryUrl: `${pebble.directoryUrl}x` }, 422, 'directory'],
    [{ ...good, eabKid: 'kid' }, 422, 'eabHmacKey'],
    [{ ...good, directoryUrl: 'http://example.test/' }, 400, ''],
    [{ ...good, unknown: 1 }, 400, ''],
  ]
  for (const [payload, status, detail] of refused) {
    const answer = await post(payload)
    expect(answer.statusCode, answer.body).toBe(status)
    expect(answer.json().detail).toContain(detail)
  }
  expect((await post(good, '?dryRun=true')).statusCode).toBe(201)
  expect(await rig.db.issuer.count()).toBe(1)

  await rig.db.certificate.update({ where: { id: certificateId }, data: { state: 'paused', dueAt: null } })
  const added = await post(good)
  expect(added.json()).toMatchObject({ kind: 'acme', hasTrustRoot: true, isEnabled: true, accountUrl: null })
  const woken = await rig.db.certificate.findUniqueOrThrow({ where: { id: certificateId } })
  expect(woken.dueAt?.getTime()).toBeLessThanOrEqual(Date.now())
  expect((await post(good)).json()).toMatchObject({ status: 409, code: 'CONFLICT' })
  const removed = await admin.inject({ method: 'DELETE', url: `/issuers/${added.json().id}` })
  expect(removed.statusCode).toBe(204)
})

test('a strange tenant’s certificate stays out of lists even when its tenantId is asked for', async () => {
  const { rig } = await createRig()
  await using _rig = rig
  const other = await createTenantSite(rig.db)
  const list = await rig.as('stranger').inject({ method: 'GET', url: `/certificates?tenantId=${rig.tenantId}` })
  expect(list.json().items).toEqual([])
  const mine = await rig
    .as('admin')
    .inject({ method: 'GET', url: `/certificates?tenantId=${rig.tenantId}&state=wanted` })
  expect(mine.json().items).toHaveLength(1)
  const theirs = await rig.as('admin').inject({ method: 'GET', url: `/certificates?tenantId=${other.tenantId}` })
  expect(theirs.json().items).toEqual([])
})
