import { once } from 'node:events'
import { readdir, rm, utimes } from 'node:fs/promises'
import { request } from 'node:http'
import { join } from 'node:path'
import { brotliDecompressSync, gunzipSync } from 'node:zlib'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { kinds, type People } from '../../test/api.ts'
import { tarGzOf, zipOf } from '../../test/archives.ts'
import type { TestDatabase } from '../../test/database.ts'
import { callAs, type ServedApi, statusesOf } from '../../test/hosting.ts'
import { createReleaseRig, page, type ReleaseRig } from '../../test/release-rig.ts'
import type { BlobStore } from './blobs.ts'
import { collectBlobs } from './collect.ts'

let rig: ReleaseRig
let folder: string
let database: TestDatabase
let blobs: BlobStore
let siteId: string
let people: People
let api: ServedApi
let upload: ReleaseRig['upload']
let activeManifest: ReleaseRig['activeManifest']
let temporaryFiles: ReleaseRig['temporaryFiles']

beforeEach(async () => {
  rig = await createReleaseRig()
  ;({ folder, database, blobs, siteId, people, api, upload, activeManifest, temporaryFiles } = rig)
})
afterEach(() => rig[Symbol.asyncDispose]())

async function blobOf(digest: string): Promise<Buffer> {
  const blob = await blobs.open(digest)
  if (blob === null) throw new Error(`the blob ${digest} is missing`)
  return Buffer.concat(await blob.stream.toArray())
}

async function storedBlobs(): Promise<string[]> {
  const entries = await readdir(join(folder, 'blobs'), { recursive: true, withFileTypes: true }).catch(() => [])
  return entries.filter((entry) => entry.isFile()).map((entry) => entry.name)
}

test('an upload becomes a release that is served: types, compressed forms, one folder stripped', async () => {
  const css = 'body { color: red }\n'.repeat(100)
  const archive = await tarGzOf([
    { name: 'site/', type: 'directory' },
    { name: 'site/index.html', content: '<h1>hello</h1>' },
    { name: 'site/css/main.CSS', content: css },
    { name: 'site/logo.png', content: Buffer.alloc(2000) },
    { name: 'site/__proto__', content: 'a name like any other' },
    { name: 'site/.git/HEAD', content: 'left out' },
  ])
  const { status, body } = await upload(archive, '', 'member', 'application/gzip')
  expect(status).toBe(201)
  expect(body).toMatchObject({ siteId, number: 1, files: 4, bytes: 14 + css.length + 2000 + 21, isActive: true })
  const { files, version } = await activeManifest()
  expect(version).toBe(1)
  expect(Object.keys(files)).toEqual(['__proto__', 'css/main.CSS', 'index.html', 'logo.png'])
  expect(files['index.html']).toMatchObject({ type: 'text/html; charset=utf-8', bytes: 14, encoded: {} })
  expect(files['logo.png']).toMatchObject({ type: 'image/png', encoded: {} })
  expect(files['css/main.CSS']?.type).toBe('text/css; charset=utf-8')
  const { br, gzip } = files['css/main.CSS']?.encoded ?? {}
  expect(brotliDecompressSync(await blobOf(br?.digest ?? '')).toString()).toBe(css)
  expect(gunzipSync(await blobOf(gzip?.digest ?? '')).toString()).toBe(css)
  expect((await blobOf(files['index.html']?.digest ?? '')).toString()).toBe('<h1>hello</h1>')
  expect(await temporaryFiles()).toEqual([])
})

test('roll back and forward; the feed is told of each', async () => {
  const first = (await upload(page('one'))).body
  const second = (await upload(page('two'))).body
  expect(second).toMatchObject({ number: 2, isActive: true })
  const third = (await upload(page('three'), '?activate=false')).body
  expect(third).toMatchObject({ number: 3, isActive: false })
  const activate = (release: Record<string, unknown>, query = '') =>
    callAs(api, 'member', 'POST', `/sites/${siteId}/releases/${release['id']}/activate${query}`)
  const active = async () => {
    const { body } = await callAs(api, 'viewer', 'GET', `/sites/${siteId}/releases`)
    const items = body['items'] as { number: number; isActive: boolean }[]
    expect(items.map((item) => item.number)).toEqual([3, 2, 1])
    return items.filter((item) => item.isActive).map((item) => item.number)
  }
  expect(await active()).toEqual([2])
  await database.db.feedChange.deleteMany()
  expect((await activate(first)).body).toMatchObject({ number: 1, isActive: true })
  expect(await active()).toEqual([1])
  expect(await database.db.feedChange.findMany()).toMatchObject([{ kind: 'site', key: siteId }])
  expect((await activate(third, '?dryRun=true')).body).toMatchObject({ number: 3, isActive: true })
  expect(await active()).toEqual([1])
  expect((await activate(third)).status).toBe(200)
  expect((await activate(third)).status).toBe(200)
  expect(await active()).toEqual([3])
  const { body: newest } = await callAs(api, 'viewer', 'GET', `/sites/${siteId}/releases?limit=2`)
  expect(newest['items']).toMatchObject([{ number: 3 }, { number: 2 }])
  const rest = await callAs(api, 'viewer', 'GET', `/sites/${siteId}/releases?cursor=${newest['nextCursor']}`)
  expect(rest.body).toMatchObject({ items: [{ number: 1 }], nextCursor: null })
  const events = await database.db.event.findMany({ where: { subjectId: siteId }, orderBy: { id: 'asc' } })
  expect(events.map((event) => event.action.split('.')[1])).toEqual([
    ...['created', 'activated', 'created', 'activated', 'created'],
    ...['activated', 'activated'],
  ])
})

test('a release that is served cannot be deleted; another one can, and its blobs go after the grace', async () => {
  const old = (await upload(page('old'))).body
  await upload(page('new'))
  const remove = () => callAs(api, 'member', 'DELETE', `/sites/${siteId}/releases/${old['id']}`)
  await callAs(api, 'member', 'POST', `/sites/${siteId}/releases/${old['id']}/activate`)
  expect(await remove()).toMatchObject({ status: 409, body: { code: 'IN_USE' } })
  const { body } = await callAs(api, 'member', 'GET', `/sites/${siteId}/releases?limit=1`)
  const [newest] = body['items'] as { id: string }[]
  await callAs(api, 'member', 'POST', `/sites/${siteId}/releases/${newest?.id}/activate`)
  expect((await remove()).status).toBe(204)
  expect((await remove()).status).toBe(404)
  const { signal } = new AbortController()
  const deps = { db: database.db, blobs }
  expect(await storedBlobs()).toHaveLength(4)
  expect(await collectBlobs(deps, new Date(), signal)).toBe(0)
  const later = new Date(Date.now() + 2 * 3_600_000)
  expect(await collectBlobs(deps, later, signal)).toBe(2)
  expect(Object.keys((await activeManifest()).files)).toEqual(['index.html'])
})

test('nothing is swept while a manifest is missing', async () => {
  await upload(page('one'))
  await upload(page('two'))
  const [missing] = await database.db.release.findMany({ orderBy: { number: 'asc' } })
  const digest = missing?.manifestDigest ?? ''
  await rm(join(folder, 'blobs', digest.slice(0, 2), digest))
  const later = new Date(Date.now() + 2 * 3_600_000)
  const { signal } = new AbortController()
  await expect(collectBlobs({ db: database.db, blobs }, later, signal)).rejects.toThrow(/missing: nothing is swept/)
  expect(await storedBlobs()).toHaveLength(3)
})

test('files that did not change keep their compressed forms, and those are safe from the sweep', async () => {
  const js = 'console.log("hello")\n'.repeat(100)
  const archive = (title: string) =>
    zipOf([
      { name: 'app.js', content: js },
      { name: 'index.html', content: title },
    ])
  await upload(archive('one'))
  const before = (await activeManifest()).files['app.js']?.encoded
  const digest = before?.br?.digest ?? ''
  const old = new Date(Date.now() - 86_400_000)
  await utimes(join(folder, 'blobs', digest.slice(0, 2), digest), old, old)
  await upload(archive('two'))
  expect((await activeManifest()).files['app.js']?.encoded).toEqual(before)
  expect(await blobs.sweep(() => false, new Date(Date.now() - 3_600_000))).toBe(0)
})

test('uploads at the same time get numbers of their own', async () => {
  const answers = await Promise.all(Array.from({ length: 8 }, (_, n) => upload(page(`page ${n}`))))
  expect(answers.map(({ status }) => status)).toEqual(Array.from({ length: 8 }, () => 201))
  const numbers = answers.map(({ body }) => Number(body['number'])).sort((a, b) => a - b)
  expect(numbers).toEqual([1, 2, 3, 4, 5, 6, 7, 8])
  const site = await database.db.site.findUniqueOrThrow({ where: { id: siteId }, include: { activeRelease: true } })
  expect(site.activeRelease?.number).toBe(8)
})

describe('what is refused leaves nothing behind', () => {
  test.each([
    ['broken', Buffer.from('no archive'), 422, 'ARCHIVE_BROKEN'],
    ['zip slip', zipOf([{ name: 'a', content: 'x' }, { name: '../b' }]), 422, 'ARCHIVE_REFUSED'],
    ['nothing in it', zipOf([{ name: '.hidden', content: 'x' }]), 422, 'ARCHIVE_REFUSED'],
    ['no entries', zipOf([]), 422, 'ARCHIVE_REFUSED'],
  ])('%s', async (_name, archive, status, code) => {
    expect(await upload(archive)).toMatchObject({ status, body: { code } })
    expect(await storedBlobs()).toEqual([])
    expect(await temporaryFiles()).toEqual([])
    expect(await database.db.release.count()).toBe(0)
  })

  test('larger than the plan allows: announced, not announced, and unpacked', async () => {
    const plan = await database.db.plan.create({ data: { name: 'small', maxReleaseBytes: 100_000 } })
    await database.db.tenant.update({ where: { id: people.tenantId }, data: { planId: plan.id } })
    const large = zipOf([{ name: 'a', content: Buffer.alloc(200_000, 'x'), method: 0 }])
    expect(await upload(large)).toMatchObject({ status: 413, body: { code: 'PAYLOAD_TOO_LARGE' } })
    expect(await sendChunked(large)).toMatchObject({ status: 413, body: { code: 'PAYLOAD_TOO_LARGE' } })
    const small = zipOf([{ name: 'a', content: Buffer.alloc(200_000, 'x') }])
    expect(await upload(small)).toMatchObject({ status: 413, body: { code: 'PAYLOAD_TOO_LARGE' } })
    expect(await storedBlobs()).toEqual([])
    expect(await temporaryFiles()).toEqual([])
  })

  test('an upload that is cut off', async () => {
    const options = {
      method: 'POST',
      headers: { ...api.authorization.member, 'content-type': 'application/zip' },
    }
    const client = request(`${api.url}/sites/${siteId}/releases`, options)
    client.on('error', () => undefined)
    client.write(page('x').subarray(0, 20))
    await expect.poll(temporaryFiles, { timeout: 30_000 }).toHaveLength(1)
    client.destroy()
    await expect.poll(temporaryFiles, { timeout: 30_000 }).toEqual([])
    expect(await storedBlobs()).toEqual([])
    expect((await upload(page('x'))).status).toBe(201)
  })

  test('another kind of body, another kind of site, a suspended tenant', async () => {
    expect(await upload(page('x'), '', 'member', 'text/html')).toMatchObject({ status: 415 })
    const json = await callAs(api, 'member', 'POST', `/sites/${siteId}/releases`, {})
    expect(json).toMatchObject({ status: 415, body: { code: 'UNSUPPORTED_MEDIA_TYPE' } })
    const empty = await callAs(api, 'member', 'POST', `/sites/${siteId}/releases`)
    expect(empty).toMatchObject({ status: 415 })
    await database.db.site.update({ where: { id: siteId }, data: { kind: 'redirect', redirectTo: 'https://a.test/' } })
    expect(await upload(page('x'))).toMatchObject({ status: 409, body: { code: 'CONFLICT' } })
    await database.db.site.update({ where: { id: siteId }, data: { kind: 'static', redirectTo: null } })
    await database.db.tenant.update({ where: { id: people.tenantId }, data: { state: 'suspended' } })
    expect(await upload(page('x'))).toMatchObject({ status: 403, body: { code: 'TENANT_SUSPENDED' } })
    expect(await upload(page('x'), '', 'admin')).toMatchObject({ status: 201 })
  })
})

/** Sends a body without Content-Length, so that its size shows only as it comes. */
async function sendChunked(body: Buffer): Promise<{ status: number; body: unknown }> {
  const headers = { ...api.authorization.member, 'content-type': 'application/zip' }
  const client = request(`${api.url}/sites/${siteId}/releases`, { method: 'POST', headers })
  client.on('error', () => undefined)
  for (let at = 0; at < body.length; at += 10_000) client.write(body.subarray(at, at + 10_000))
  client.end()
  const [response] = await once(client, 'response')
  const chunks: Buffer[] = await response.toArray()
  return { status: response.statusCode, body: JSON.parse(Buffer.concat(chunks).toString()) }
}

test('the API document says that the body is an archive', async () => {
  const { body } = await callAs(api, 'guest', 'GET', '/openapi.json')
  const paths = body['paths'] as Record<string, { post?: { requestBody?: { content: object } } }>
  const content = paths['/api/v1/sites/{id}/releases']?.post?.requestBody?.content ?? {}
  expect(Object.keys(content)).toContain('application/zip')
  expect(Object.keys(content)).toContain('application/gzip')
})

test('who may do what', async () => {
  const active = (await upload(page('one'))).body
  const other = (await upload(page('two'), '?activate=false')).body
  const one = `/sites/${siteId}/releases/${other['id']}`
  const all = (method: string, path: string) => statusesOf(api, method, path)
  expect(await all('GET', `/sites/${siteId}/releases`)).toEqual([401, 404, 200, 200, 200, 200, 200])
  expect(await all('GET', one)).toEqual([401, 404, 200, 200, 200, 200, 200])
  expect(await all('POST', `/sites/${siteId}/releases/${active['id']}/activate`)).toEqual([
    ...[401, 404, 403, 200, 200, 403, 200],
  ])
  expect(await all('DELETE', `${one}?dryRun=true`)).toEqual([401, 404, 403, 204, 204, 403, 204])
  const uploads = await Promise.all(
    kinds.map(async (caller) => (await upload(page('x'), '?activate=false', caller)).status),
  )
  expect(uploads).toEqual([401, 404, 403, 201, 201, 403, 201])
})
