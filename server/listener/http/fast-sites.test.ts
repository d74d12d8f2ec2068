import { setImmediate } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { expect, test } from 'vitest'
import type { SiteRecord } from '../../contract/records.ts'
import { siteOptions } from '../../contract/site-options.ts'
import { createContent } from './content.ts'
import { createFastSites, type FastAsked, type FastSite } from './fast-sites.ts'
import type { ReleaseFiles } from './manifest-cache.ts'

test('a path that is ready does not keep the release as a whole in memory', async () => {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  const file = { digest: 'a'.repeat(64), bytes: 1, type: 'text/plain', encoded: {} }
  let release: ReleaseFiles | undefined = { files: new Map([['a.txt', file]]), lastModified: 'then' }
  const watched = new WeakRef(release)
  const store = {
    content: createContent('/nowhere'),
    manifests: { peek: () => release, get: () => Promise.reject(new Error('it is in memory')) },
  }
  const sites = createFastSites({ records: { epoch: 1, get: () => null, drop: () => undefined }, store })
  const options = siteOptions({})
  const site: FastSite = { siteId: 's', record: {} as SiteRecord, options, manifest: 'm', files: new Map() }
  const fields = { acceptEncoding: undefined, ifNoneMatch: undefined, ifModifiedSince: undefined }
  const asked: FastAsked = { method: 'HEAD', target: '/a.txt', fields: { ...fields, hasOtherConditions: false } }
  expect(sites.ready(site, asked)?.fields).toContainEqual(['last-modified', 'then'])
  // The cache of manifests has forgotten it.
  release = undefined
  await setImmediate()
  collect()
  expect(watched.deref()).toBeUndefined()
  expect(sites.ready(site, asked)?.fields).toContainEqual(['last-modified', 'then'])
})
