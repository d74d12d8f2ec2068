import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { defaultAccessLog } from '../../contract/access-log.ts'
import { createLog } from '../../process/log.ts'
import { createLogArchive } from './log-archive.ts'
import { createLogFiles } from './log-files.ts'

const log = createLog('test', 'fatal')
let root: string
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'nameplate-logs-'))
})
afterEach(() => rmSync(root, { recursive: true, force: true }))

const parts = (maxBytes: number) => {
  const archive = createLogArchive({ root, retentionDays: () => 3, log })
  const setting = () => ({ ...defaultAccessLog, maxBytes })
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
