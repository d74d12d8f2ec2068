import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { eventually } from '../../../test/certificate-rig.ts'
import { DnsProviderError } from '../provider.ts'
import { createHookProvider } from './hook.ts'

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'hook-'))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

let count = 0
function hook(script: string, secret: string | null = null) {
  count += 1
  const command = join(folder, `hook-${count}`)
  writeFileSync(command, `#!/bin/sh\n${script}\n`)
  chmodSync(command, 0o755)
  return createHookProvider({ command, secret, zones: ['own.test'] })
}

const codeOf = (work: Promise<void>): Promise<string> =>
  work.then(
    () => 'done',
    (error: unknown) => (error instanceof DnsProviderError ? `${error.code}: ${error.message}` : String(error)),
  )
const never = new AbortController().signal

test('it gets arguments, JSON on standard input, and nothing of our environment', async () => {
  process.env['NAMEPLATE_TEST_SECRET'] = 'must not be seen'
  const out = join(folder, 'seen')
  const dns = hook(`{ printf '%s|' "$@"; cat; echo; env; } > ${out}`, 'word')
  await dns.setTxt('_acme-challenge.own.test', '$(reboot) "; x', never)
  const [first = '', ...environment] = readFileSync(out, 'utf8').split('\n')
  const json = first.slice(first.indexOf('{'))
  expect(first.slice(0, -json.length)).toBe('set|_acme-challenge.own.test|$(reboot) "; x|')
  expect(JSON.parse(json)).toEqual({
    action: 'set',
    fqdn: '_acme-challenge.own.test',
    value: '$(reboot) "; x',
    zone: 'own.test',
    secret: 'word',
  })
  const names = environment.map((line) => line.split('=')[0]).filter((name) => name !== '')
  expect(names.toSorted()).toEqual(['LANG', 'PATH', 'PWD'])
  await dns.removeTxt('_acme-challenge.own.test', 'v', never)
  expect(readFileSync(out, 'utf8')).toMatch(/^remove\|/)
})

test('a status, a signal and a program that is not there are errors that say so', async () => {
  const set = (script: string) => codeOf(hook(script).setTxt('a.own.test', 'v', never))
  expect(await set('echo first; echo no such zone >&2; exit 3')).toMatch(/^refused: .*status 3: no such zone$/)
  expect(await set('kill -9 $$')).toMatch(/^refused: .*SIGKILL/)
  expect(await set('exit 0')).toBe('done')
  const missing = createHookProvider({ command: join(folder, 'missing'), secret: null, zones: ['own.test'] })
  expect(await codeOf(missing.setTxt('a.own.test', 'v', never))).toMatch(/^config: .*ENOENT/)
  expect(await codeOf(missing.setTxt('a.else.test', 'v', never))).toMatch(/^zone: /)
})

test('one that prints without end is stopped', async () => {
  expect(await codeOf(hook('while :; do echo 0123456789; done').setTxt('a.own.test', 'v', never))).toMatch(
    /^answer: .*printed more/,
  )
})

test('one that hangs is stopped with its children', async () => {
  const pidFile = join(folder, 'pid')
  const dns = hook(`sleep 1000 & echo $! > ${pidFile}; wait`)
  const abort = new AbortController()
  const set = codeOf(dns.setTxt('a.own.test', 'v', abort.signal))
  const pid = await eventually(async () => existsSync(pidFile) && Number(readFileSync(pidFile, 'utf8')), 'a child')
  abort.abort()
  expect(await set).toMatch(/^timeout: /)
  await eventually(async () => !isRunning(pid), 'the child ends')
})

/** A zombie, which only its parent can remove, does not run. */
function isRunning(pid: number): boolean {
  try {
    return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
  } catch {
    return false
  }
}
