import type { BlobRef, Encoding, ManifestFile } from '../../contract/manifest.ts'
import type { SiteRecord } from '../../contract/records.ts'
import { chooseEncoding } from './accept-encoding.ts'
import { preconditionStatus, rangeApplies, type Validators } from './conditional.ts'
import type { Content } from './content.ts'
import { sendEmptySite, sendErrorPage } from './error-pages.ts'
import { type Exchange, type Fields, send } from './exchange.ts'
import { FILE_PIECE_BYTES, MAX_CACHED_FILE_BYTES } from './limits.ts'
import type { ManifestCache, ReleaseFiles } from './manifest-cache.ts'
import { piecePlaces } from './piece-places.ts'
import { type ByteRange, parseRange } from './range.ts'
import { sendRedirect } from './redirect.ts'
import type { Target } from './target.ts'

/** What static sites are served from. */
export type StaticStore = { readonly content: Content; readonly manifests: ManifestCache }

/** One form of a file as it goes out. */
type Representation = Validators & { readonly ref: BlobRef; readonly fields: Fields }

/**
 * Answers from a site's release. A path is looked up in the manifest and never reaches the file
 * system. `path` is the decoded path of `target`. Throws `ContentError` when a blob is not there.
 */
export async function serveStatic(
  exchange: Exchange,
  store: StaticStore,
  site: SiteRecord,
  target: Target,
  path: string,
): Promise<void> {
  if (exchange.method !== 'GET' && exchange.method !== 'HEAD')
    return sendErrorPage(exchange, 405, [['allow', 'GET, HEAD']])
  if (site.manifest === null) return sendEmptySite(exchange)
  const release = await store.manifests.get(site.manifest)
  const name = path.slice(1)
  const file = release.files.get(name === '' || name.endsWith('/') ? `${name}index.html` : name)
  if (file !== undefined) return sendFile(exchange, store.content, file, release)
  // The path as sent names a folder of the release here, so it cannot be `//host` and lead elsewhere.
  if (release.files.has(`${name}/index.html`)) return sendRedirect(exchange, 301, `${target.path}/${target.query}`)
  return sendNotFound(exchange, store.content, release)
}

async function sendFile(
  exchange: Exchange,
  content: Content,
  file: ManifestFile,
  release: ReleaseFiles,
): Promise<void> {
  const form = representationOf(exchange, file, release)
  const demanded = preconditionStatus(exchange.headers, form)
  if (demanded === 412) return sendErrorPage(exchange, 412)
  if (demanded === 304) {
    exchange.respond(304, form.fields)
    return exchange.end()
  }
  const range = rangeOf(exchange, form)
  if (range === 'unsatisfiable') return sendErrorPage(exchange, 416, [['content-range', `bytes */${form.ref.bytes}`]])
  if (range === null) return sendBlob(exchange, content, 200, form, { first: 0, last: form.ref.bytes - 1 })
  return sendBlob(exchange, content, 206, form, range)
}

async function sendNotFound(exchange: Exchange, content: Content, release: ReleaseFiles): Promise<void> {
  const file = release.files.get('404.html')
  if (file === undefined) return sendErrorPage(exchange, 404)
  const form = representationOf(exchange, file, release)
  return sendBlob(exchange, content, 404, form, { first: 0, last: form.ref.bytes - 1 })
}

function representationOf(exchange: Exchange, file: ManifestFile, release: ReleaseFiles): Representation {
  const field = exchange.headers['accept-encoding']
  const encoding = chooseEncoding(
    typeof field === 'string' ? field : undefined,
    (name) => file.encoded[name] !== undefined,
  )
  const ref = (encoding === null ? undefined : file.encoded[encoding]) ?? file
  const etag = `"${file.digest}${encoding === null ? '' : `-${encoding}`}"`
  return { ref, etag, lastModified: release.lastModified, fields: fieldsOf(file, encoding, etag, release.lastModified) }
}

function fieldsOf(file: ManifestFile, encoding: Encoding | null, etag: string, lastModified: string): Fields {
  const fields: [string, string][] = [
    ['content-type', file.type],
    ['etag', etag],
    ['last-modified', lastModified],
    ['accept-ranges', 'bytes'],
    // A new release is seen at once; a visit costs a 304 where nothing changed.
    ['cache-control', 'public, max-age=0, must-revalidate'],
    ['x-content-type-options', 'nosniff'],
  ]
  if (encoding !== null) fields.push(['content-encoding', encoding])
  if (Object.keys(file.encoded).length > 0) fields.push(['vary', 'accept-encoding'])
  return fields
}

function rangeOf(exchange: Exchange, form: Representation): ByteRange | 'unsatisfiable' | null {
  if (exchange.method !== 'GET' || !rangeApplies(exchange.headers, form)) return null
  return parseRange(exchange.headers.range, form.ref.bytes)
}

async function sendBlob(
  exchange: Exchange,
  content: Content,
  status: 200 | 206 | 404,
  form: Representation,
  range: ByteRange,
): Promise<void> {
  const length = range.last - range.first + 1
  const fields: Fields =
    status === 206
      ? [...form.fields, ['content-range', `bytes ${range.first}-${range.last}/${form.ref.bytes}`]]
      : form.fields
  if (exchange.method === 'HEAD') {
    exchange.respond(status, [...fields, ['content-length', String(length)]])
    return exchange.end()
  }
  if (form.ref.bytes > MAX_CACHED_FILE_BYTES) return streamBlob(exchange, content, status, fields, form.ref, range)
  const bytes = await content.bytes(form.ref)
  send(exchange, status, fields, status === 206 ? bytes.subarray(range.first, range.last + 1) : bytes)
}

/** Two buffers in turn: one is filled while the other leaves. The file is closed however it ends. */
async function streamBlob(
  exchange: Exchange,
  content: Content,
  status: number,
  fields: Fields,
  ref: BlobRef,
  range: ByteRange,
): Promise<void> {
  const places = piecePlaces(exchange.connection)
  const file = await content.open(ref)
  try {
    exchange.respond(status, [...fields, ['content-length', String(range.last - range.first + 1)]])
    const buffers: Buffer[] = []
    let isSent = Promise.resolve(true)
    for (let at = range.first, turn = 0; at <= range.last; turn += 1) {
      await places.take()
      let isLeaving = false
      try {
        const buffer = buffers[turn % 2] ?? Buffer.allocUnsafe(FILE_PIECE_BYTES)
        buffers[turn % 2] = buffer
        const { bytesRead } = await file.read(buffer, 0, Math.min(buffer.length, range.last + 1 - at), at)
        if (!(await isSent)) return
        if (bytesRead === 0) return exchange.abort()
        isSent = exchange.write(buffer.subarray(0, bytesRead)).finally(places.give)
        isLeaving = true
        at += bytesRead
      } finally {
        if (!isLeaving) places.give()
      }
    }
    if (await isSent) exchange.end()
  } finally {
    await file.close()
  }
}
