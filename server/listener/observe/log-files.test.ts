import { randomBytes } from 'node:crypto'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statfsSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { defaultAccessLog } from '../../contract/access-log.ts'
import { createLog } from '../../process/log.ts'
import { mountSmallDisk } from '../../test/small-disk.ts'
import { createLogArchive } from './log-archive.ts'
import { createLogFiles } from './log-files.ts'

const log = createLog('test', 'fatal')
let root: string
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'nameplate-logs-'))
})
afterEach(() => rmSync(root, { recursive: true, force: true }))

const parts = (maxBytes: number, maxSiteBytes = defaultAccessLog.maxSiteBytes) => {
  const setting = () => ({ ...defaultAccessLog, retentionDays: 3, maxBytes, maxSiteBytes })
  const archive = createLogArchive({ root, setting, log })
  return { archive, files: createLogFiles({ folder: root, setting, archive, log }) }
}

test('files are rotated by size and compressed, and no line is lost or cut', async () => {
  const { archive, files } = parts(1_000)
  for (let number = 0; number < 100; number += 1) {
    files.append('t', 's', `line ${number} ${'x'.repeat(50)}`)
    if (number % 10 === 9) await new Promise((resolve) => setTimeout(resolve, 20))
  }
  await files.close()
  await archive.idle()
  const names = readdirSync(join(root, 't/s'))
  expect(names.filter((name) => name.endsWith('.log.gz')).length).toBeGreaterThan(1)
  expect(names.filter((name) => !name.endsWith('.gz'))).toEqual(['access.log'])
  const texts = names.map((name) => {
    const bytes = readFileSync(join(root, 't/s', name))
    return (name.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString()
  })
  const numbers = texts.flatMap((text) => text.trim().split('\n')).map((line) => Number(line.split(' ')[1]))
  expect(numbers.sort((a, b) => a - b)).toEqual(Array.from({ length: 100 }, (_, at) => at))
  for (const name of names) expect(statSync(join(root, 't/s', name)).mode & 0o777).toBe(0o640)
  await archive.close()
})

test('a file of another day is set aside before the next line; what is too old goes', async () => {
  const { archive, files } = parts(1_000_000)
  files.append('t', 's', 'yesterday')
  await files.close()
  const file = join(root, 't/s/access.log')
  utimesSync(file, Date.now() / 1000 - 86_400, Date.now() / 1000 - 86_400)
  const again = createLogFiles({ folder: root, setting: () => defaultAccessLog, archive, log })
  again.append('t', 's', 'today')
  await again.close()
  await archive.idle()
  expect(readFileSync(file, 'utf8')).toBe('today\n')
  const [rotated = ''] = readdirSync(join(root, 't/s')).filter((name) => name.endsWith('.gz'))
  expect(gunzipSync(readFileSync(join(root, 't/s', rotated))).toString()).toBe('yesterday\n')
  writeFileSync(join(root, 't/s/keep-me.txt'), '')
  for (const name of readdirSync(join(root, 't/s'))) utimesSync(join(root, 't/s', name), 1, 1)
  await archive.sweep()
  expect(readdirSync(join(root, 't/s'))).toEqual(['keep-me.txt'])
  await archive.close()
})

test('more sites than files may be open are all written', async () => {
  const { archive, files } = parts(1_000_000)
  for (let round = 0; round < 2; round += 1)
    for (let site = 0; site < 300; site += 1) files.append('t', `s${site}`, `round ${round}`)
  await files.close()
  expect(files.dropped).toBe(0)
  for (const site of [0, 150, 299])
    expect(readFileSync(join(root, `t/s${site}/access.log`), 'utf8')).toBe('round 0\nround 1\n')
  await archive.close()
})

test('a disk that refuses costs lines, which are counted, and writing goes on afterwards', async () => {
  const { archive, files } = parts(1_000_000)
  writeFileSync(join(root, 't'), 'in the way')
  files.append('t', 's', 'lost')
  await expect.poll(() => files.dropped).toBe(1)
  rmSync(join(root, 't'))
  files.append('t', 's', 'kept')
  await files.close()
  expect(readFileSync(join(root, 't/s/access.log'), 'utf8')).toBe('kept\n')
  await archive.close()
})

test('of a site that writes much the oldest rotated files go, and the others stay', async () => {
  const { archive, files } = parts(1_000, 8_000)
  const names = () => readdirSync(join(root, 't/s')).filter((name) => name.endsWith('.gz'))
  for (let number = 0; number < 30; number += 1) {
    // What cannot be compressed: a kilobyte each.
    files.append('t', 's', `${number} ${randomBytes(1_000).toString('latin1').replaceAll('\n', ' ')}`)
    await expect.poll(() => readFileSync(join(root, 't/s/access.log'), 'latin1').startsWith(`${number} `)).toBe(true)
  }
  await files.close()
  await archive.idle()
  const sizes = names().map((name) => statSync(join(root, 't/s', name)).size)
  expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThanOrEqual(8_000)
  const numbers = names().map((name) =>
    Number.parseInt(gunzipSync(readFileSync(join(root, 't/s', name))).toString(), 10),
  )
  expect(numbers.sort((a, b) => a - b)).toEqual(
    Array.from({ length: numbers.length }, (_, at) => 29 - numbers.length + at),
  )
  expect(numbers.length).toBeGreaterThan(2)
  await archive.close()
})

test('a disk that is nearly full is left to others: lines are dropped until there is room', async (context) => {
  const disk = join(root, 'disk')
  mkdirSync(disk)
  using mounted = mountSmallDisk(disk, 8_192)
  if (mounted === null) return context.skip('no tmpfs can be mounted here: this needs root')
  const folder = join(disk, 'logs')
  const { archive } = parts(1_000_000)
  const files = createLogFiles({ folder, setting: () => defaultAccessLog, archive, log })
  const { bavail, bsize } = statfsSync(disk)
  const filler = join(disk, 'filler')
  writeFileSync(filler, Buffer.alloc(bavail * bsize - 1_500_000))
  files.append('t', 's', 'lost')
  await expect.poll(() => files.dropped).toBe(1)
  expect(existsSync(join(folder, 't/s'))).toBe(false)
  rmSync(filler)
  await expect
    .poll(
      () => {
        files.append('t', 's', 'kept')
        return existsSync(join(folder, 't/s/access.log'))
      },
      { timeout: 20_000 },
    )
    .toBe(true)
  await files.close()
  expect(readFileSync(join(folder, 't/s/access.log'), 'utf8')).toMatch(/^(kept\n)+$/)
  await archive.close()
})

test('the name of a rotated file is that of one process, and one that is gone does not end the sweep', async () => {
  const { archive, files } = parts(1)
  files.append('t', 'b', 'old')
  await expect.poll(() => existsSync(join(root, 't/b/access.log'))).toBe(true)
  await expect.poll(() => statSync(join(root, 't/b/access.log')).size).toBe(4)
  files.append('t', 'b', 'new')
  await files.close()
  await archive.idle()
  const [rotated = ''] = readdirSync(join(root, 't/b')).filter((name) => name !== 'access.log')
  expect(rotated).toMatch(new RegExp(`^access-\\d{8}-\\d{6}-${process.pid}-1\\.log\\.gz$`))
  // A file that is listed and not found, before and after the folder of the other site, whatever the order.
  for (const site of ['a', 'b', 'c']) {
    mkdirSync(join(root, 't', site), { recursive: true })
    symlinkSync('nowhere', join(root, 't', site, 'access-20260101-000000-1-1.log'))
  }
  utimesSync(join(root, 't/b', rotated), 1, 1)
  await archive.sweep()
  expect(existsSync(join(root, 't/b', rotated))).toBe(false)
  await archive.close()
})
