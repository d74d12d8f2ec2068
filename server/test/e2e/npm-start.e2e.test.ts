import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { freePorts } from '../ports.ts'
import { descendants, killTree, processes } from '../process-tree.ts'
import { eventually } from '../stack.ts'

/** `npm start` itself, with npm and its shell in between, as a person or a service manager stops it. */
const root = fileURLToPath(new URL('../../..', import.meta.url))

/** Everything that runs, and `npm`'s exit code once it has ended. */
async function npmStart(dataDir: string) {
  const [api, https, http, metrics] = await freePorts(4)
  let output = ''
  const env = {
    PATH: process.env.PATH,
    HOME: process.env.HOME,
    NAMEPLATE_DATA_DIR: dataDir,
    NAMEPLATE_API_LISTEN: `127.0.0.1:${api}`,
    NAMEPLATE_HTTPS_LISTEN: `127.0.0.1:${https}`,
    NAMEPLATE_HTTP_LISTEN: `127.0.0.1:${http}`,
    NAMEPLATE_METRICS_LISTEN: `127.0.0.1:${metrics}`,
    NAMEPLATE_WORKERS: '1',
  }
  // A session of its own: what a terminal sends to its foreground group can be sent to this one.
  const npm = spawn('npm', ['start'], { cwd: root, env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] })
  for (const stream of [npm.stdout, npm.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk.toString()))
  const ended = new Promise<number | null>((resolve) => npm.once('exit', (code) => resolve(code)))
  const pid = npm.pid ?? 0
  try {
    await eventually(async () => output.includes('Stop it with Ctrl+C.'), 'npm start says that it runs')
  } catch (error) {
    await killTree(pid)
    throw new Error(output, { cause: error })
  }
  return { pid, all: descendants(pid).map((entry) => entry.pid), ended, output: () => output }
}

test.each([
  ['SIGTERM to npm alone, as a service manager or a script sends it', 'SIGTERM', 1],
  ['Ctrl+C, which a terminal sends to all in its foreground', 'SIGINT', -1],
] as const)('%s ends everything, calmly, before npm ends', async (_, signal, direction) => {
  const folder = mkdtempSync(join(tmpdir(), 'nameplate-npm-'))
  try {
    const started = await npmStart(join(folder, 'data'))
    // Parent, planes, a worker and the database at least.
    expect(started.all.length).toBeGreaterThan(4)
    process.kill(direction * started.pid, signal)
    expect(await started.ended).toBe(0)
    expect(processes().filter(({ pid }) => started.all.includes(pid))).toEqual([])
    expect(started.output()).not.toContain('a process has ended')
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})
