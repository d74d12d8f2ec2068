import { type Encoding, encodings, type ManifestFile } from '../../contract/manifest.ts'
import type { RecordKind, SiteRecord } from '../../contract/records.ts'
import type { SiteOptions } from '../../contract/site-options.ts'
import { chooseEncoding } from './accept-encoding.ts'
import { preconditionStatus } from './conditional.ts'
import type { Connection } from './connection.ts'
import type { Content } from './content.ts'
import type { Fields } from './exchange.ts'
import { createFastAnswer, type FastAnswer } from './fast-answer.ts'
import { type Cached, createFastCache, type FastCache } from './fast-cache.ts'
import { requestHost, siteOfHost } from './host-rules.ts'
import { FAST_CACHE_BYTES, MAX_WHOLE_BODY_BYTES, RECORD_CACHE_BYTES } from './limits.ts'
import { createLru } from './lru.ts'
import type { ReleaseFiles } from './manifest-cache.ts'
import { type RecordCache, recordWeight } from './record-cache.ts'
import { type Representation, representationOf } from './representation.ts'
import { fieldRules, optionsOf, redirectOf } from './site-rules.ts'
import type { StaticStore } from './static.ts'
import { planStatic } from './static-plan.ts'
import type { HeadFields, StrictHead } from './strict-head.ts'
import { decodePath } from './target.ts'

/** A static site as one state of its record makes it, with the answers that were asked for so far. */
export type FastSite = {
  readonly siteId: string
  readonly record: SiteRecord
  readonly options: SiteOptions
  readonly manifest: string
  /** By the path of the request, where that needs no decoding. */
  readonly files: Map<string, FastFile>
}

/** One path of a site that a file answers. */
type FastFile = Cached & {
  readonly file: ManifestFile
  /** Not the release as a whole: that would stay in memory beside the cache that bounds it. */
  readonly release: Pick<ReleaseFiles, 'lastModified'>
  readonly path: string
  /** A bit for each of `encodings` that the file has. */
  readonly mask: number
  /** Representations by chosen encoding (0: plain, then as in `encodings`). */
  readonly forms: (Representation | undefined)[]
  /** By encoding, method or 304, and whether the connection ends. */
  readonly answers: (FastAnswer | undefined)[]
}

/** What a request asks of a site. */
export type FastAsked = Pick<StrictHead, 'method' | 'target'> & {
  readonly fields: Pick<HeadFields, 'acceptEncoding' | 'ifNoneMatch' | 'ifModifiedSince' | 'hasOtherConditions'>
}

/** An answer without its framing; a null body is none. `fields` is the same array for the same representation. */
export type ReadyAnswer = {
  readonly status: 200 | 304
  readonly fields: Fields
  readonly contentLength: number | null
  readonly body: Uint8Array | null
}

/** An answer; a wait for content, after which the same must be asked again; null: the full path must answer. */
export type FastReply = FastAnswer | Promise<void> | null

/** Answers for static sites that are ready in memory, or nearly. */
export type FastSites = {
  /** Grows with each change of a record: what `siteOf` said holds as long as it is the same. */
  readonly epoch: number
  /** The site that answers for this host on this connection, if it is one that can be answered fast. */
  siteOf(connection: Connection, host: string): FastSite | null
  /** What the full path would answer. */
  reply(site: FastSite, head: StrictHead, closes: boolean): FastReply
  /** The same for another protocol, where it is in memory and small. Null: the full path must answer. */
  ready(site: FastSite, asked: FastAsked): ReadyAnswer | null
  drop(keys: readonly { kind: RecordKind; key: string }[]): void
}

/** What a file takes before its answers, with its representations, and a site before its files (measured, both runtimes). */
const FILE_BYTES = 2_048
const SITE_BYTES = 1_024
/** Choices for so many spellings of Accept-Encoding are remembered; browsers use a handful. */
const MAX_CHOICES = 256
const KINDS = { GET: 0, HEAD: 1, unchanged: 2 } as const

type FastDeps = { readonly records: RecordCache; readonly store: StaticStore }

/** Makes the store of one worker. */
export function createFastSites(deps: FastDeps): FastSites {
  const sites = createLru<FastSite>(RECORD_CACHE_BYTES)
  const cache = createFastCache(FAST_CACHE_BYTES)
  const choices = createChoices()
  let epoch = 1
  const drop = (siteId: string): void => {
    const site = sites.get(siteId)
    sites.delete(siteId)
    for (const file of [...(site?.files.values() ?? [])]) cache.remove(file)
  }
  const find: FastSites['siteOf'] = (connection, host) => {
    const name = requestHost([host], null)
    const answer = name === null ? null : siteOfHost(deps.records, connection, name)
    if (answer === null || 'status' in answer) return null
    const record = deps.records.get('site', answer.siteId)
    const known = sites.get(answer.siteId)
    if (record !== null && known?.record === record) return known
    drop(answer.siteId)
    const site = record === null ? null : fastSite(answer.siteId, record)
    if (site !== null) sites.set(answer.siteId, site, SITE_BYTES + recordWeight(record))
    return site
  }
  return {
    get epoch() {
      return epoch
    },
    siteOf(connection, host) {
      try {
        return find(connection, host)
      } catch {
        // Records that cannot be read are told of by the full path.
        return null
      }
    },
    reply(site, head, closes) {
      if (head.fields.hasOtherConditions) return null
      const file = site.files.get(head.target) ?? findFile(site, head.target, deps.store, cache)
      if (file === null || file instanceof Promise) return file
      file.isUsed = true
      const choice = choices(head.fields.acceptEncoding)[file.mask] as number
      const form = formOf(file, site, choice, head.fields.acceptEncoding)
      const kind = isUnchanged(head.fields, form) ? 'unchanged' : head.method
      const at = choice * 6 + KINDS[kind] * 2 + (closes ? 1 : 0)
      const ready = file.answers[at]
      if (ready !== undefined) return ready
      const made = makeAnswer(form, kind, closes, deps.store.content)
      if (made === null || made instanceof Promise) return made
      file.answers[at] = made
      cache.add(file, made.weightBytes)
      return made
    },
    ready(site, { method, target, fields }) {
      if (fields.hasOtherConditions) return null
      const file = site.files.get(target) ?? findFile(site, target, deps.store, cache)
      if (file === null || file instanceof Promise) return null
      file.isUsed = true
      const form = formOf(file, site, choices(fields.acceptEncoding)[file.mask] as number, fields.acceptEncoding)
      if (isUnchanged(fields, form)) return { status: 304, fields: form.fields, contentLength: null, body: null }
      const head = { status: 200, fields: form.fields, contentLength: form.ref.bytes } as const
      if (method === 'HEAD') return { ...head, body: null }
      const body = form.ref.bytes > MAX_WHOLE_BODY_BYTES ? undefined : deps.store.content.peek(form.ref)
      return body === undefined ? null : { ...head, body }
    },
    drop(keys) {
      epoch += 1
      for (const { kind, key } of keys) if (kind === 'site') drop(key)
    },
  }
}

function fastSite(siteId: string, record: SiteRecord): FastSite | null {
  if (record.kind !== 'static' || record.state !== 'active' || record.manifest === null) return null
  const options = optionsOf(record)
  // Who may enter is asked on the full path.
  if (options.basicAuth !== null) return null
  return { siteId, record, options, manifest: record.manifest, files: new Map() }
}

function findFile(
  site: FastSite,
  sent: string,
  { manifests }: StaticStore,
  cache: FastCache,
): FastFile | Promise<void> | null {
  const mark = sent.indexOf('?')
  const raw = mark < 0 ? sent : sent.slice(0, mark)
  const path = raw.includes('%') ? decodePath(raw) : raw
  if (path === null || path.startsWith('/.well-known/')) return null
  // What has more than one spelling once it is decoded is not kept under what was sent.
  if (/[%?]/.test(path)) return null
  const known = path === sent ? undefined : site.files.get(path)
  if (known !== undefined) return known
  const release = manifests.peek(site.manifest)
  if (release === undefined) return quiet(manifests.get(site.manifest))
  const target = { path: raw, query: '', authority: null }
  const plan = redirectOf(site.options, path, target) === null ? planStatic(release, site.options, path) : null
  if (plan?.kind !== 'file') return null
  const key = isOwnFile(site, release, path) ? path : fallbackKey(site)
  return key === null ? null : (site.files.get(key) ?? remember(site, fastFile(site, plan.file, release, key), cache))
}

/** A wait whose failure is nobody's surprise when nobody waits. */
function quiet(reading: Promise<unknown>): Promise<void> {
  const done = reading.then(() => {})
  done.catch(() => {})
  return done
}

/** Whether the release has a file for this very path: only so many paths are remembered one by one. */
function isOwnFile({ options }: FastSite, release: ReleaseFiles, path: string): boolean {
  return options.singlePage === null || planStatic(release, { ...options, singlePage: null }, path).kind === 'file'
}

/** All paths that the single page answers are one, unless rules tell them apart: then the full path answers. */
function fallbackKey({ options }: FastSite): string | null {
  return options.headers.length > 0 || options.cache.length > 0 ? null : '*'
}

function remember(site: FastSite, file: FastFile, cache: FastCache): FastFile {
  site.files.set(file.path, file)
  cache.add(file, FILE_BYTES)
  return file
}

function fastFile(
  site: FastSite,
  file: ManifestFile,
  { lastModified }: Pick<ReleaseFiles, 'lastModified'>,
  path: string,
): FastFile {
  // The cache of answers must not hold the site itself, whose record may be large.
  const { files } = site
  const forget = (): void => void files.delete(path)
  const mask = encodings.reduce((bits, name, at) => bits | (file.encoded[name] === undefined ? 0 : 1 << at), 0)
  return { file, release: { lastModified }, path, mask, forms: [], answers: [], isUsed: true, forget }
}

function formOf(file: FastFile, site: FastSite, choice: number, acceptEncoding: string | undefined): Representation {
  const known = file.forms[choice]
  if (known !== undefined) return known
  const form = representationOf(file.file, file.release, site.options, file.path, acceptEncoding)
  const rules = fieldRules(site.options, file.path, true)
  const made = rules === null ? form : { ...form, fields: rules(form.fields) }
  file.forms[choice] = made
  return made
}

function isUnchanged({ ifNoneMatch, ifModifiedSince }: FastAsked['fields'], form: Representation): boolean {
  if (ifNoneMatch === undefined && ifModifiedSince === undefined) return false
  const conditions = { 'if-none-match': ifNoneMatch, 'if-modified-since': ifModifiedSince }
  return preconditionStatus(conditions, form) === 304
}

function makeAnswer(form: Representation, kind: keyof typeof KINDS, closes: boolean, content: Content): FastReply {
  const { fields, ref } = form
  const common = { fields, closes, pieces: null, body: null }
  if (kind === 'unchanged') return createFastAnswer({ ...common, status: 304, contentLength: null })
  const whole = { ...common, status: 200, contentLength: ref.bytes }
  if (kind === 'HEAD') return createFastAnswer(whole)
  if (ref.bytes > MAX_WHOLE_BODY_BYTES) return createFastAnswer({ ...whole, pieces: ref })
  const body = content.peek(ref)
  return body === undefined ? content.bytes(ref).then(() => {}) : createFastAnswer({ ...whole, body })
}

/** For each Accept-Encoding, what is chosen of each set of encodings that a file may have. */
function createChoices(): (field: string | undefined) => Uint8Array {
  const known = new Map<string, Uint8Array>()
  const make = (field: string | undefined): Uint8Array => {
    const bit = (name: Encoding): number => 1 << encodings.indexOf(name)
    return Uint8Array.from({ length: 1 << encodings.length }, (_, mask) => {
      const chosen = chooseEncoding(field, (name) => (mask & bit(name)) !== 0)
      return chosen === null ? 0 : encodings.indexOf(chosen) + 1
    })
  }
  const none = make(undefined)
  return (field) => {
    if (field === undefined) return none
    const before = known.get(field)
    if (before !== undefined) return before
    const made = make(field)
    if (known.size >= MAX_CHOICES) known.clear()
    known.set(field, made)
    return made
  }
}
