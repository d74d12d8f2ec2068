import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { LockedError, takeLock } from './lock.ts'
import { SettingsError } from './settings.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'nameplate-lock-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

test('a second holder is refused, another name is not, and a release frees it', () => {
  const release = takeLock(folder, 'start')
  expect(() => takeLock(folder, 'start')).toThrow(LockedError)
  takeLock(folder, 'other')()
  release()
  takeLock(folder, 'start')()
})

test('kill -9 of the holder frees it', async () => {
  const code = `import { takeLock } from ${JSON.stringify(join(import.meta.dirname, 'lock.ts'))}
    takeLock(${JSON.stringify(folder)}, 'start'); console.log('held'); setInterval(() => 0, 1000)`
  const holder = spawn(process.execPath, ['--input-type=module', '-e', code], { stdio: ['ignore', 'pipe', 'inherit'] })
  await once(holder.stdout, 'data')
  expect(() => takeLock(folder, 'start')).toThrow(/runs on this data directory already/)
  holder.kill('SIGKILL')
  await once(holder, 'exit')
  takeLock(folder, 'start')()
})

test('a data directory that cannot be one is told by the name of its setting', () => {
  const file = join(folder, 'a-file')
  writeFileSync(file, '')
  expect(() => takeLock(file, 'start')).toThrow(SettingsError)
  expect(() => takeLock(file, 'start')).toThrow(/^NAMEPLATE_DATA_DIR: .*a-file cannot be made or written to/)
})
