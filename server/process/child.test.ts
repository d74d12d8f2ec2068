import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { ChildStartError, superviseChild } from './child.ts'
import { createLog, type Logger } from './log.ts'

let folder: string
let warnings: string[]
let log: Logger
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'nameplate-child-'))
  warnings = []
  log = createLog('test', 'silent')
  log.warn = (...words: unknown[]) => void warnings.push(JSON.stringify(words))
})
afterEach(() => rmSync(folder, { recursive: true }))

function childOf(code: string) {
  const file = join(folder, 'child.mjs')
  writeFileSync(file, code)
  return superviseChild<{ pid: number }>({ name: 'sample', file, env: process.env, log })
}

/** Field 5 of /proc/<pid>/stat (proc(5)). */
function processGroupOf(pid: number): string | undefined {
  return readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /s, '')
    .split(' ')[2]
}

test('Ctrl+C at the terminal of the parent does not reach a child past its parent', async () => {
  const child = childOf(
    "process.send({ type: 'ready', pid: process.pid }); process.on('disconnect', () => process.exit())",
  )
  try {
    const { pid } = await child.ready
    expect(processGroupOf(pid)).toBe(String(pid))
    expect(processGroupOf(pid)).not.toBe(processGroupOf(process.pid))
  } finally {
    await child.stop()
  }
  expect(warnings).toEqual([])
})

test('a child that does not start is one error, with no warning before it', async () => {
  const child = childOf('process.exit(3)')
  await expect(child.ready).rejects.toThrow(ChildStartError)
  expect(warnings).toEqual([])
})

test('a child that ends later is told and started again', async () => {
  const child = childOf(`
    import { existsSync, writeFileSync } from 'node:fs'
    const mark = ${JSON.stringify(join(folder, 'mark'))}
    if (existsSync(mark)) writeFileSync(mark, 'again')
    else { writeFileSync(mark, 'first'); process.send({ type: 'ready', pid: process.pid }, () => process.exit(1)) }
    setInterval(() => undefined, 1000)`)
  await child.ready
  await expect.poll(() => readFileSync(join(folder, 'mark'), 'utf8'), { timeout: 60_000 }).toBe('again')
  await child.stop()
  expect(warnings).toHaveLength(1)
})

test('a child that is killed before it is ready is started again; one that ends by itself is not', async () => {
  const mark = JSON.stringify(join(folder, 'killed'))
  const killed = childOf(`import { existsSync, writeFileSync } from 'node:fs'
    if (existsSync(${mark})) process.send({ type: 'ready', pid: process.pid })
    else { writeFileSync(${mark}, ''); process.kill(process.pid, 'SIGKILL') }
    process.on('disconnect', () => process.exit())`)
  await killed.ready
  await killed.stop()
  expect(warnings.join()).toContain('SIGKILL')
  await expect(childOf('process.exit(1)').ready).rejects.toThrow(ChildStartError)
})
