import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type TarEntry, tarGzOf, type ZipEntry, zipOf } from '../../test/archives.ts'
import { AppError } from '../errors.ts'
import { readArchive } from './archive.ts'
import { archivePath, commonFolder } from './archive-path.ts'

const MIB = 1024 * 1024
let folder: string
let files = 0

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'nameplate-archive-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

/** Reads an archive whole; gives what is kept. */
async function read(archive: Buffer, maxBytes = 64 * MIB, signal = new AbortController().signal) {
  const file = join(folder, `archive-${files++}`)
  await writeFile(file, archive)
  const kept = new Map<string, string>()
  await readArchive(file, {
    maxBytes,
    signal,
    onFile: async (path, _name, content) => {
      const chunks: Uint8Array[] = []
      for await (const chunk of content) chunks.push(chunk)
      kept.set(path, Buffer.concat(chunks).toString())
    },
  })
  return Object.fromEntries(kept)
}

async function refusalOf(archive: Buffer, maxBytes?: number): Promise<{ code: string; detail: string }> {
  const error = await read(archive, maxBytes).then(
    (kept) => new Error(`was read: ${Object.keys(kept)}`),
    (thrown: unknown) => thrown,
  )
  if (!(error instanceof AppError)) throw error
  return { code: error.code, detail: error.detail }
}

const site = [
  { name: './', type: 'directory' as const },
  { name: './index.html', content: '<h1>hello</h1>' },
  { name: './css/', type: 'directory' as const },
  { name: './css/größe.css', content: 'a{}' },
  { name: '.git/config', content: 'secret' },
  { name: '.env', content: 'secret' },
  { name: 'css/.DS_Store', content: 'junk' },
  { name: '__MACOSX/._index.html', content: 'junk' },
  { name: '.well-known/security.txt', content: 'Contact: x' },
]
const kept = {
  'index.html': '<h1>hello</h1>',
  'css/größe.css': 'a{}',
  '.well-known/security.txt': 'Contact: x',
}

test('both formats give the same files; hidden files and what macOS adds are left out', async () => {
  expect(await read(await tarGzOf(site))).toEqual(kept)
  const zip = site.map(({ name, content }) => ({ name, content: content ?? '' }))
  expect(await read(zipOf(zip))).toEqual(kept)
  expect(await read(zipOf(zip.map((entry) => ({ ...entry, method: 0, mode: 0 }))))).toEqual(kept)
})

test('names in UTF-8 without the flag that says so are read as macOS means them, and come out in NFC', async () => {
  const name = 'gro\u0308\u00dfe.css'
  expect(await read(zipOf([{ name, flags: 0, content: 'a{}' }]))).toEqual({ 'gr\u00f6\u00dfe.css': 'a{}' })
  expect(await read(zipOf([{ name: Buffer.from([0x94, 0x2e, 0x63]), flags: 0, content: '' }]))).toEqual({ 'ö.c': '' })
})

const S_IFLNK = 0o120777
const S_IFIFO = 0o010644
const S_IFCHR = 0o020644
const ok: ZipEntry = { name: 'index.html', content: 'x' }

describe('a .zip is refused', () => {
  const attacks: readonly (readonly [string, readonly ZipEntry[], RegExp])[] = [
    ['zip slip', [ok, { name: '../../etc/passwd', content: 'x' }], /"\.\.\/\.\.\/etc\/passwd" points outside/],
    ['dots in the middle', [{ name: 'a/../../b', content: 'x' }], /points outside/],
    ['absolute path', [{ name: '/etc/passwd', content: 'x' }], /absolute path/],
    ['drive letter', [{ name: 'C:/x', content: 'x' }], /absolute path/],
    ['backslash', [{ name: '..\\evil', content: 'x' }], /backslash/],
    ['NUL', [{ name: 'a\0b', content: 'x' }], /control character/],
    ['newline', [{ name: 'a\nb', content: 'x' }], /control character/],
    ['symlink', [{ name: 'link', content: '/etc/passwd', mode: S_IFLNK }], /"link" is a link/],
    ['hidden symlink', [{ name: '.link', content: '/etc/passwd', mode: S_IFLNK }], /is a link/],
    ['fifo', [{ name: 'pipe', mode: S_IFIFO }], /no ordinary file/],
    ['device', [{ name: 'null', mode: S_IFCHR }], /no ordinary file/],
    ['encrypted', [{ name: 'a', content: 'x', flags: 0x801 }], /"a" is encrypted/],
    ['strongly encrypted', [{ name: 'a', content: 'x', flags: 0x841 }], /is encrypted/],
    ['unknown compression', [{ name: 'a', content: 'x', method: 14 }], /not known here/],
    ['duplicate', [ok, ok], /"index.html" is in the archive twice/],
    ['duplicate by spelling', [ok, { name: './index.html', content: 'y' }], /twice/],
    ['duplicate by Unicode form', [{ name: '\u00e9' }, { name: 'e\u0301' }], /twice/],
    ['path too long', [{ name: 'a/'.repeat(600), content: '' }, { name: `${'a/'.repeat(600)}b` }], /longer than 1024/],
  ]
  test.each(attacks)('%s', async (_name, entries, detail) => {
    const refusal = await refusalOf(zipOf(entries))
    expect(refusal.code).toBe('ARCHIVE_REFUSED')
    expect(refusal.detail).toMatch(detail)
  })

  test('a checksum that is wrong, sizes that lie, and a cut one are broken', async () => {
    const zip = zipOf([{ name: 'a', content: 'x'.repeat(1000) }])
    for (const bad of [
      zipOf([{ ...ok, crc: 1 }]),
      zipOf([{ name: 'a', content: 'x'.repeat(1000), size: 10 }]),
      zipOf([{ name: 'a', content: 'x', size: 10 }]),
      zipOf([{ name: 'a', content: 'x', method: 0, size: 10 }]),
      zip.subarray(0, zip.length - 10),
      Buffer.concat([zip.subarray(0, 40), Buffer.alloc(60), zip.subarray(100)]),
    ]) {
      expect((await refusalOf(bad)).code).toBe('ARCHIVE_BROKEN')
    }
  })

  test('a bomb stops early, by ratio and by size', async () => {
    const zeros = Buffer.alloc(40 * MIB)
    const entries = [0, 1, 2].map((n) => ({ name: `${n}`, content: zeros }))
    const bomb = await refusalOf(zipOf(entries), 1024 * MIB)
    expect(bomb).toMatchObject({ code: 'ARCHIVE_REFUSED', detail: expect.stringContaining('200 times') })
    const large = await refusalOf(zipOf([{ name: 'a', content: Buffer.alloc(2 * MIB) }]), MIB)
    expect(large).toMatchObject({ code: 'PAYLOAD_TOO_LARGE', detail: expect.stringContaining('1 MiB') })
  })

  test('too many files', async () => {
    const entries = Array.from({ length: 20_001 }, (_, n) => ({ name: `${n}`, method: 0 }))
    expect((await refusalOf(zipOf(entries))).detail).toMatch(/more than 20,000 files/)
  })
})

describe('a .tar.gz is refused', () => {
  const attacks: readonly (readonly [string, readonly TarEntry[], RegExp])[] = [
    ['traversal', [{ name: '../evil', content: 'x' }], /points outside/],
    ['absolute path', [{ name: '/etc/passwd', content: 'x' }], /absolute path/],
    ['backslash', [{ name: 'a\\b', content: 'x' }], /backslash/],
    ['control character', [{ name: 'a\x7fb', content: 'x' }], /control character/],
    ['symlink', [{ name: 'l', type: 'symlink', linkname: '/etc/passwd' }], /"l" is a link/],
    ['hard link', [{ name: 'l', type: 'link', linkname: 'index.html' }], /is a link/],
    ['device', [{ name: 'd', type: 'block-device' }], /no ordinary file/],
    ['character device', [{ name: 'd', type: 'character-device' }], /no ordinary file/],
    ['fifo', [{ name: 'd', type: 'fifo' }], /no ordinary file/],
    [
      'duplicate',
      [
        { name: 'a', content: 'x' },
        { name: './a', content: 'y' },
      ],
      /twice/,
    ],
    ['long path in a PAX header', [{ name: 'ü'.repeat(600), content: 'x' }], /longer than 1024/],
  ]
  test.each(attacks)('%s', async (_name, entries, detail) => {
    const refusal = await refusalOf(await tarGzOf(entries))
    expect(refusal.code).toBe('ARCHIVE_REFUSED')
    expect(refusal.detail).toMatch(detail)
  })

  test('cut, damaged or no tar at all is broken', async () => {
    const whole = await tarGzOf([{ name: 'a', content: Buffer.alloc(100_000, 'abcdefg') }])
    const damaged = Buffer.from(whole)
    damaged.writeUInt32LE(0xdeadbeef, whole.length - 8)
    for (const bad of [
      whole.subarray(0, whole.length / 2),
      damaged,
      gzipSync('this is only a compressed text'.repeat(100)),
      gzipSync(Buffer.alloc(700, 1)),
      Buffer.from('\x1f\x8b', 'latin1'),
    ]) {
      expect((await refusalOf(bad)).code).toBe('ARCHIVE_BROKEN')
    }
  })

  test('a bomb stops early, also one in what is left out', async () => {
    const zeros = Buffer.alloc(100 * MIB)
    for (const name of ['zeros', '.hidden']) {
      const bomb = await refusalOf(await tarGzOf([{ name, content: zeros }]), 1024 * MIB)
      expect(bomb).toMatchObject({ code: 'ARCHIVE_REFUSED', detail: expect.stringContaining('200 times') })
    }
  })
})

test('what is neither .zip nor .tar.gz is told so, whatever it is called', async () => {
  for (const other of ['', 'PK', '<!doctype html>', 'Rar!\x1a\x07', '7z\xbc\xaf\x27\x1c']) {
    const { code, detail } = await refusalOf(Buffer.from(other, 'latin1'))
    expect(code).toBe('ARCHIVE_BROKEN')
    expect(detail).toMatch(/neither a \.zip nor a \.tar\.gz/)
  }
})

test('an aborted reading throws the reason', async () => {
  const signal = AbortSignal.abort(new Error('too slow'))
  await expect(read(zipOf([ok]), MIB, signal)).rejects.toThrow('too slow')
  await expect(read(await tarGzOf([{ name: 'a', content: 'x' }]), MIB, signal)).rejects.toThrow('too slow')
})

test('no name in an archive leads out of the release', () => {
  const segment = fc.oneof(
    fc.constantFrom('..', '.', '', 'a', '.well-known', '~', 'C:', 'ü'),
    fc.string({ unit: 'binary', maxLength: 8 }),
  )
  const name = fc.array(segment, { maxLength: 8 }).map((segments) => segments.join('/'))
  fc.assert(
    fc.property(name, (text) => {
      const place = archivePath(text)
      if (place.kind !== 'keep') return true
      const segments = place.path.split('/')
      const isInside = segments.every((part) => part !== '' && part !== '.' && part !== '..')
      // biome-ignore lint/suspicious/noControlCharactersInRegex: that there are none is the point.
      return isInside && !/[\\\u0000-\u001f\u007f-\u009f]/.test(place.path) && !place.path.startsWith('/')
    }),
    { numRuns: 5_000 },
  )
})

test('only a single folder around everything is stripped', () => {
  expect(commonFolder(['site/index.html', 'site/a/b.css'])).toBe('site')
  expect(commonFolder(['site/index.html', 'other/b.css'])).toBe(null)
  expect(commonFolder(['site/index.html', 'sites'])).toBe(null)
  expect(commonFolder(['index.html'])).toBe(null)
  expect(commonFolder(['.well-known/x'])).toBe(null)
  expect(commonFolder([])).toBe(null)
})
