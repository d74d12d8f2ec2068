import { chmodSync, mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { linkSocketPath } from './link-path.ts'

const folder = mkdtempSync(join(tmpdir(), 'np-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

test('the setting wins, then the data directory', () => {
  expect(linkSocketPath({ linkSocket: '/run/x.sock', dataDir: folder })).toBe('/run/x.sock')
  const path = linkSocketPath({ linkSocket: null, dataDir: folder })
  expect(path).toBe(join(folder, 'run', 'link.sock'))
  expect(statSync(dirname(path)).mode & 0o777).toBe(0o700)
})

test('a data directory that is too deep for a socket gets a short path, the same each time', () => {
  const deep = { linkSocket: null, dataDir: join(folder, 'd'.repeat(100)) }
  const path = linkSocketPath(deep)
  expect(Buffer.byteLength(path)).toBeLessThanOrEqual(100)
  expect(linkSocketPath(deep)).toBe(path)
  expect(linkSocketPath({ ...deep, dataDir: `${deep.dataDir}e` })).not.toBe(path)
  rmSync(dirname(path), { recursive: true })
})

test('a folder that others may write to is refused by name', () => {
  const run = join(folder, 'open', 'run')
  mkdirSync(run, { recursive: true })
  chmodSync(run, 0o777)
  expect(() => linkSocketPath({ linkSocket: null, dataDir: join(folder, 'open') })).toThrow(/NAMEPLATE_LINK_SOCKET/)
})
