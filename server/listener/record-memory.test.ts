import { tmpdir } from 'node:os'
import { setImmediate as turn } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { expect, test } from 'vitest'
import type { Payloads, RecordKind, SiteRecord } from '../contract/records.ts'
import { siteRecord } from '../test/listener-rig.ts'
import type { EdgeReader } from './edge-store.ts'
import type { Connection } from './http/connection.ts'
import { createContent } from './http/content.ts'
import { createFastSites } from './http/fast-sites.ts'
import { createManifestCache } from './http/manifest-cache.ts'
import { createRecordCache } from './http/record-cache.ts'
import type { RequestEntry } from './http/request-log.ts'
import { createObserver } from './observe/observer.ts'

const MIB = 1024 * 1024
const SITES = 300

setFlagsFromString('--expose-gc')
const collect: () => void = runInNewContext('gc')

/** Sites whose options are as large as they may be: what is asked for, and which of the records are still held. */
function largeSites() {
  const made: WeakRef<SiteRecord>[] = []
  const off = new Set<string>()
  const site = (key: string): SiteRecord => {
    const headers = Array.from({ length: 60 }, (_, at) => ({
      path: `/${at}`,
      set: { 'x-large': `${key}${'v'.repeat(4_000)}` },
      remove: [],
    }))
    const options = { headers, accessLog: !off.has(key) }
    const { payload } = siteRecord(key, { manifest: 'a'.repeat(64), options })
    made.push(new WeakRef(payload as SiteRecord))
    return payload as SiteRecord
  }
  const get = (kind: RecordKind, key: string): unknown =>
    kind === 'site' ? site(key) : kind === 'name' ? { siteId: key, certificates: [] } : null
  const reader: Pick<EdgeReader, 'get'> = {
    get: <K extends RecordKind>(kind: K, key: string) => get(kind, key) as Payloads[K],
  }
  return {
    reader,
    /** Turns the log of a site off; said to nobody. */
    turnOff: (key: string) => void off.add(key),
    get asked() {
      return made.length
    },
    async held(): Promise<number> {
      // What a WeakRef was made of lives until its turn is over.
      await turn()
      collect()
      return made.filter((record) => record.deref() !== undefined).length
    },
  }
}

const connectionOf = (siteId: string): Connection => ({
  siteId,
  serverName: siteId,
  remoteAddress: '127.0.0.1',
  localAddress: '127.0.0.1',
  isSecure: true,
  acceptedAtMs: 0,
  tls: () => null,
})
const entryOf = (siteId: string): RequestEntry => ({
  connection: connectionOf(siteId),
  siteId,
  host: siteId,
  method: 'GET',
  target: '/',
  protocol: 'HTTP/1.1',
  status: 200,
  bytes: 0,
  bytesIn: 0,
  durationMs: 0,
  referer: '',
  userAgent: '',
})
const names = Array.from({ length: SITES }, (_, at) => `site-${at}.test`)

test('records are cached up to a number of bytes, whatever their number', async () => {
  const sites = largeSites()
  const records = createRecordCache(sites.reader, 4 * MIB)
  for (const name of names) records.get('site', name)
  expect(await sites.held()).toBeLessThanOrEqual(17)
  const last = names.at(-1) ?? ''
  expect(records.get('site', last)).toBe(records.get('site', last))
  expect(sites.asked).toBe(SITES)
  // Small ones are all kept.
  for (const name of [...names, ...names]) records.get('name', name)
  expect(records.get('name', names[0] ?? '')).toBe(records.get('name', names[0] ?? ''))
  expect(records.get('site', last)).toBe(records.get('site', last))
  expect(sites.asked).toBe(SITES)
})

test('static sites that are answered fast hold no more records than that', async () => {
  const sites = largeSites()
  const fast = createFastSites({
    records: createRecordCache(sites.reader, 4 * MIB),
    store: { content: createContent(tmpdir()), manifests: createManifestCache(tmpdir()) },
  })
  for (const name of names) expect(fast.siteOf(connectionOf(name), name)?.siteId).toBe(name)
  // 32 MiB of them.
  expect(await sites.held()).toBeLessThanOrEqual(32 * 4 + 17)
  expect(fast.epoch).toBe(1)
})

test('what writes access logs keeps no record, reads each once, and again when it has changed', async () => {
  const sites = largeSites()
  let lines = ''
  const pipe = {
    send(more: string) {
      lines += more
      return true
    },
    flushed: async () => {},
  }
  const observer = createObserver({ reader: sites.reader, pipe })
  const told = () => lines.split('\n').filter((line) => line.startsWith('A ')).length
  for (const name of [...names, ...names]) observer.log(entryOf(name))
  await expect.poll(told, { timeout: 20_000 }).toBe(2 * SITES)
  expect(sites.asked).toBe(SITES)
  expect(await sites.held()).toBe(0)

  const [first = '', second = ''] = names
  sites.turnOff(first)
  sites.turnOff(second)
  observer.invalidate([{ kind: 'site', key: first }])
  for (const name of [first, second, first]) observer.log(entryOf(name))
  await observer.close()
  expect(told()).toBe(2 * SITES + 1)
  expect(sites.asked).toBe(SITES + 1)
})
