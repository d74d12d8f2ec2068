import { randomBytes } from 'node:crypto'
import { pino } from 'pino'
import { expect, test } from 'vitest'
import { type Kind, kinds, statusByKind } from '../../../test/api.ts'
import {
  certificateInState,
  createTenantSite,
  createVerifiedHostname,
  eventually,
  quietLog,
  startManager,
} from '../../../test/certificate-rig.ts'
import { createOpenssl } from '../../../test/openssl.ts'
import { createUploadRig, type UploadRig } from '../../../test/upload-rig.ts'
import { seedIssuer } from '../seed.ts'
import { retireCertificate } from '../service.ts'
import { adoptHostnames, certificateKeyContext } from '../store.ts'

const row = (...statuses: number[]): Record<Kind, number> =>
  Object.fromEntries(kinds.map((kind, index) => [kind, statuses[index] ?? 0])) as Record<Kind, number>
const DAY_MS = 86_400_000
const unset = { acmeCaFile: null, acmeEabKid: null, acmeEabHmacKey: null, acmeEmail: null, acmeProfile: null }

/** The local CA as the issuer, and a manager that works at once. */
async function manage(rig: UploadRig, now?: () => Date): Promise<AsyncDisposable> {
  const { db, vault, databaseUrl: url } = rig
  await seedIssuer(db, vault, { ...unset, acmeDirectory: null, acmeTermsAgreed: false }, quietLog(), 'test')
  return startManager({ db, url }, { vault, ...(now === undefined ? {} : { now }) })
}

test('who may upload, replace, change, request and delete', async () => {
  await using rig = await createUploadRig()
  await rig.addHostname('www.table.test')
  const body = async () => {
    const { chainPem, privateKeyPem } = await rig.authority.issue(['www.table.test'])
    return { certificatePem: chainPem, privateKeyPem }
  }
  const { id } = await rig.upload(await rig.authority.issue(['www.table.test']))
  const { tenantId } = rig
  const request = await rig.as('member').inject({
    method: 'POST',
    url: '/certificate-requests',
    payload: { names: ['www.table.test'], keyType: 'ec-p256' },
  })
  const requestUrl = `/certificate-requests/${request.json().id}`
  const names = { names: ['www.table.test'], keyType: 'ec-p256', tenantId }
  const dry = '?dryRun=true'
  // guest, stranger, viewer, member, owner, support, admin
  const writes = (good: number) => row(401, 404, 403, good, good, 403, good)
  const reads = row(401, 404, 200, 200, 200, 200, 200)
  const table: [string, Parameters<typeof statusByKind>[1], Record<Kind, number>][] = [
    ['upload', { method: 'POST', url: `/certificates${dry}`, payload: { ...(await body()), tenantId } }, writes(201)],
    ['replace', { method: 'POST', url: `/certificates/${id}/versions${dry}`, payload: await body() }, writes(201)],
    ['patch', { method: 'PATCH', url: `/certificates/${id}`, payload: { fallbackToAcme: false } }, writes(200)],
    ['delete', { method: 'DELETE', url: `/certificates/${id}${dry}` }, writes(204)],
    ['request', { method: 'POST', url: `/certificate-requests${dry}`, payload: names }, writes(201)],
    ['requests', { method: 'GET', url: '/certificate-requests' }, row(401, 200, 200, 200, 200, 200, 200)],
    ['get request', { method: 'GET', url: requestUrl }, reads],
    [
      'accept',
      { method: 'POST', url: `${requestUrl}/certificate${dry}`, payload: { certificatePem: '' } },
      writes(422),
    ],
    ['delete request', { method: 'DELETE', url: `${requestUrl}${dry}` }, writes(204)],
  ]
  for (const [what, call, expected] of table)
    expect({ what, ...(await statusByKind(rig, call)) }).toEqual({ what, ...expected })
  const strange = await rig.as('stranger').inject({ method: 'GET', url: '/certificate-requests' })
  expect(strange.json().items).toEqual([])
})

test('an upload takes the tenant’s own proven hostnames over from ACME at once; a dry run stores nothing', async () => {
  await using rig = await createUploadRig()
  const { db, vault } = rig
  const ids = [
    await rig.addHostname('www.own.test'),
    await rig.addHostname('*.own.test'),
    await rig.addHostname('deep.www.own.test'),
  ]
  const unproven = await rig.addHostname('new.own.test')
  await db.hostname.update({ where: { id: unproven }, data: { ownershipState: 'pending' } })
  const foreign = await createVerifiedHostname(db, await createTenantSite(db), 'their.own.test')
  await db.$transaction((tx) => adoptHostnames(tx, 10))
  const certificate = await rig.authority.issue(['*.own.test'])
  const payload = { certificatePem: certificate.chainPem, privateKeyPem: certificate.privateKeyPem }
  const member = rig.as('member')
  const dry = await member.inject({ method: 'POST', url: '/certificates?dryRun=true', payload })
  expect(dry.statusCode, dry.body).toBe(201)
  expect(dry.json().hostnames.map(({ name }: { name: string }) => name)).toEqual(['*.own.test', 'www.own.test'])
  expect(await db.certificate.count({ where: { source: 'uploaded' } })).toBe(0)

  const answer = await member.inject({ method: 'POST', url: '/certificates', payload })
  expect(answer.json()).toMatchObject({
    source: 'uploaded',
    state: 'valid',
    fallbackToAcme: true,
    issuer: null,
    names: ['*.own.test'],
    fingerprint: certificate.fingerprint,
  })
  const { id } = answer.json()
  const using = await db.hostname.findMany({ where: { certificateId: id } })
  expect(using.map((item) => item.id).sort()).toEqual(ids.slice(0, 2).sort())
  expect(await db.certificate.count({ where: { state: 'retired' } })).toBe(2)
  for (const other of [foreign, ids[2] ?? ''])
    expect((await db.hostname.findUniqueOrThrow({ where: { id: other } })).certificateId).not.toBe(id)
  const version = await db.certificateVersion.findUniqueOrThrow({ where: { fingerprint: certificate.fingerprint } })
  expect(vault.unseal(version.keySealed, certificateKeyContext(certificate.fingerprint)).toString()).toContain(
    'PRIVATE KEY',
  )
  expect(await db.event.count({ where: { action: 'certificate.uploaded', subjectId: id } })).toBe(1)

  // The same again says where it is; another tenant is not told whose it is.
  const again = await member.inject({ method: 'POST', url: '/certificates', payload })
  expect(again.json()).toMatchObject({ status: 422, code: 'CERTIFICATE_INVALID' })
  expect(again.json().errors[0].detail).toContain(id)
  const theirs = await rig.as('stranger').inject({ method: 'POST', url: '/certificates', payload })
  expect(theirs.json().status).toBe(422)
  expect(theirs.body).not.toContain(id)
  expect(theirs.body).toContain('none of your proven hostnames')
})

test('another tenant’s hostname cannot be asked for, nor one that is not covered', async () => {
  await using rig = await createUploadRig()
  const own = await rig.addHostname('www.ask.test')
  const other = await rig.addHostname('other.ask.test')
  const foreign = await createVerifiedHostname(rig.db, await createTenantSite(rig.db), 'their.ask.test')
  const { chainPem, privateKeyPem } = await rig.authority.issue(['www.ask.test', 'their.ask.test'])
  const post = (hostnameIds: string[]) =>
    rig.as('member').inject({
      method: 'POST',
      url: '/certificates',
      payload: { certificatePem: chainPem, privateKeyPem, hostnameIds },
    })
  const refused = await post([own, foreign, other])
  expect(refused.json()).toMatchObject({ status: 422, code: 'CERTIFICATE_INVALID' })
  expect(refused.json().errors).toEqual([
    { field: 'hostnameIds', detail: `These are no proven hostnames of this tenant: ${foreign}.` },
    { field: 'hostnameIds', detail: 'It does not cover other.ask.test.' },
  ])
  expect(await rig.db.certificate.count({ where: { source: 'uploaded' } })).toBe(0)
  expect((await post([own])).statusCode).toBe(201)
})

test('replacing goes onto the same certificate, with the same or a new key, and never leaves a hostname without', async () => {
  await using rig = await createUploadRig()
  await rig.addHostname('a.swap.test')
  await rig.addHostname('b.swap.test')
  const first = await rig.upload(await rig.authority.issue(['a.swap.test', 'b.swap.test']))
  const replace = async (certificate: { chainPem: string; privateKeyPem: string }) =>
    rig.as('member').inject({
      method: 'POST',
      url: `/certificates/${first.id}/versions`,
      payload: { certificatePem: certificate.chainPem, privateKeyPem: certificate.privateKeyPem },
    })
  const narrow = await replace(await rig.authority.issue(['a.swap.test']))
  expect(narrow.json().errors).toEqual([{ field: 'certificatePem', detail: 'It does not cover b.swap.test.' }])
  const next = await rig.authority.issue(['*.swap.test'])
  const answer = await replace(next)
  expect(answer.statusCode, answer.body).toBe(201)
  expect(answer.json()).toMatchObject({ id: first.id, fingerprint: next.fingerprint, names: ['*.swap.test'] })
  expect(answer.json().history.filter(({ type }: { type: string }) => type === 'version')).toHaveLength(2)
  const issued = await rig.db.certificate.create({ data: { tenantId: rig.tenantId, names: ['x.swap.test'] } })
  for (const call of [
    { method: 'POST', url: `/certificates/${issued.id}/versions`, payload: { certificatePem: 'x' } },
    { method: 'PATCH', url: `/certificates/${issued.id}`, payload: { fallbackToAcme: true } },
    { method: 'DELETE', url: `/certificates/${issued.id}` },
  ] as const)
    expect((await rig.as('member').inject(call)).json()).toMatchObject({ status: 409, code: 'CONFLICT' })
})

test('hostile bodies end in a clear answer, and no key is in any answer, log, event or dump', async () => {
  const logged: string[] = []
  const log = pino({ level: 'trace' }, { write: (line: string) => void logged.push(line) })
  await using rig = await createUploadRig({ log })
  using openssl = createOpenssl()
  await rig.addHostname('www.hostile.test')
  const member = rig.as('member')
  const { chainPem, privateKeyPem } = await rig.authority.issue(['www.hostile.test'])
  const weak = openssl.make({ commonName: 'x', names: ['www.hostile.test'], key: 'RSA -pkeyopt rsa_keygen_bits:512' })
  const bodies: [object, number][] = [
    [{ certificatePem: 'x'.repeat(10_000_000), privateKeyPem }, 413],
    [{ certificatePem: 'x'.repeat(300_000), privateKeyPem }, 400],
    [{}, 400],
    [{ certificatePem: chainPem, pkcs12Base64: 'AAAA' }, 400],
    [{ pkcs12Base64: 'AAAA', password: randomBytes(20).toString('hex') }, 422],
    [{ certificatePem: chainPem, privateKeyPem: weak.keyPem }, 422],
    [{ certificatePem: weak.certPem, privateKeyPem: weak.keyPem }, 422],
    [{ certificatePem: chainPem, privateKeyPem, unknown: 1 }, 400],
    [{ certificatePem: 1, privateKeyPem }, 400],
    [{ certificatePem: chainPem, privateKeyPem, hostnameIds: [] }, 400],
    [{ certificatePem: chainPem, privateKeyPem }, 201],
  ]
  const answers: string[] = []
  for (const [payload, status] of bodies) {
    const answer = await member.inject({ method: 'POST', url: '/certificates', payload })
    expect(answer.statusCode, answer.body.slice(0, 500)).toBe(status)
    answers.push(answer.body)
  }
  const { id } = JSON.parse(answers.at(-1) ?? '')
  answers.push((await member.inject({ method: 'GET', url: `/certificates/${id}` })).body)
  const lines = (pem: string): string[] => pem.split('\n').filter((line) => line.length > 40)
  expect(logged.length).toBeGreaterThan(5)
  const seen = answers.join('\n') + logged.join('') + (await dump(rig))
  for (const line of [...lines(privateKeyPem), ...lines(weak.keyPem)]) {
    expect(seen.includes(line)).toBe(false)
    expect(seen.includes(Buffer.from(line).toString('hex'))).toBe(false)
  }
  expect(seen).not.toMatch(/PRIVATE KEY|[kK]eySealed/)
})

test('deleted: it serves until ACME has taken over, then it is gone with its key', async () => {
  await using rig = await createUploadRig()
  const { db } = rig
  const hostnameId = await rig.addHostname('www.leave.test')
  const { id } = await rig.upload(await rig.authority.issue(['www.leave.test']), { fallbackToAcme: false })
  const remove = () => rig.as('member').inject({ method: 'DELETE', url: `/certificates/${id}` })
  expect((await remove()).statusCode).toBe(204)
  const leaving = await db.certificate.findUniqueOrThrow({ where: { id } })
  expect(leaving).toMatchObject({ state: 'valid' })
  expect(leaving.leavingAt).not.toBeNull()
  expect((await db.hostname.findUniqueOrThrow({ where: { id: hostnameId } })).certificateId).toBe(id)
  await using _manager = await manage(rig)
  await eventually(
    async () => (await db.certificate.findUnique({ where: { id } })) === null,
    'the uploaded one is gone',
  )
  const hostname = await db.hostname.findUniqueOrThrow({ where: { id: hostnameId }, include: { certificate: true } })
  expect(hostname.certificate).toMatchObject({ source: 'issued', state: 'valid' })
  expect(hostname.nextCertificateId).toBeNull()
  expect(await db.certificateVersion.count()).toBe(1)
})

test('before it expires: one warning for where it stands, and ACME takes over; the uploaded one stays', async () => {
  await using rig = await createUploadRig()
  const { db } = rig
  const old = { notAfter: new Date(Date.now() + 3_600_000) }
  const kept = await rig.addHostname('kept.expiry.test')
  const moved = await rig.addHostname('moved.expiry.test')
  const keep = await rig.upload(await rig.authority.issue(['kept.expiry.test'], old), { fallbackToAcme: false })
  const move = await rig.upload(await rig.authority.issue(['moved.expiry.test'], old))
  await using _manager = await manage(rig)
  await certificateInState(db, 'moved.expiry.test', 'valid')
  const taken = () => db.hostname.findUniqueOrThrow({ where: { id: moved }, include: { certificate: true } })
  await eventually(async () => (await taken()).certificate?.source === 'issued', 'ACME has taken over')
  expect((await db.hostname.findUniqueOrThrow({ where: { id: kept } })).certificateId).toBe(keep.id)
  const uploaded = await db.certificate.findUniqueOrThrow({ where: { id: move.id } })
  expect(uploaded.state).toBe('valid')
  const warned = await db.event.findMany({ where: { action: 'certificate.expiring' } })
  expect(new Set(warned.map(({ subjectId }) => subjectId))).toEqual(new Set([keep.id, move.id]))
  expect(warned).toHaveLength(2)
})

test('expired without fall-back it says so once and stays; allowed later, ACME takes over', async () => {
  await using rig = await createUploadRig()
  const { db } = rig
  const hostnameId = await rig.addHostname('late.expiry.test')
  const { id } = await rig.upload(await rig.authority.issue(['late.expiry.test']), { fallbackToAcme: false })
  const ahead = (): Date => new Date(Date.now() + 100 * DAY_MS)
  await using _manager = await manage(rig, ahead)
  await certificateInState(db, 'late.expiry.test', 'expired')
  expect(await db.event.count({ where: { action: 'certificate.expired', subjectId: id } })).toBe(1)
  expect((await db.hostname.findUniqueOrThrow({ where: { id: hostnameId } })).certificateId).toBe(id)
  const patched = await rig
    .as('member')
    .inject({ method: 'PATCH', url: `/certificates/${id}`, payload: { fallbackToAcme: true } })
  expect(patched.json()).toMatchObject({ fallbackToAcme: true })
  await eventually(async () => {
    const hostname = await db.hostname.findUniqueOrThrow({ where: { id: hostnameId }, include: { certificate: true } })
    return hostname.nextCertificateId !== null || hostname.certificate?.source === 'issued'
  }, 'ACME is wanted')
})

test('one hostname that goes does not end an uploaded certificate that others use', async () => {
  await using rig = await createUploadRig()
  const a = await rig.addHostname('a.shared.test')
  await rig.addHostname('b.shared.test')
  const { id } = await rig.upload(await rig.authority.issue(['*.shared.test']))
  await rig.db.$transaction(async (tx) => {
    await tx.hostname.delete({ where: { id: a } })
    await retireCertificate(tx, id)
  })
  expect(await rig.db.certificate.findUniqueOrThrow({ where: { id } })).toMatchObject({ state: 'valid' })
  expect(await rig.db.hostname.count({ where: { certificateId: id } })).toBe(1)
})

/** Everything that the database holds, as text. */
async function dump({ db }: UploadRig): Promise<string> {
  const tables = await db.$queryRaw<
    { name: string }[]
  >`select tablename as name from pg_tables where schemaname = 'public'`
  const parts: string[] = []
  for (const { name } of tables) {
    const rows = await db.$queryRawUnsafe<{ text: string }[]>(`select t::text as text from "${name}" t`)
    parts.push(...rows.map(({ text }) => text))
  }
  return parts.join('\n')
}
