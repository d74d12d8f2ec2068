import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'

/** What the bench needs, and the Debian package that has it. */
const tools = [
  { file: 'nginx', package: 'nginx' },
  { file: 'haproxy', package: 'haproxy' },
  { file: 'caddy', package: 'caddy' },
  { file: 'wrk', package: 'wrk' },
  { file: 'h2load', package: 'nghttp2-client' },
  { file: 'curl', package: 'curl' },
  { file: 'taskset', package: 'util-linux' },
  { file: 'cc', package: 'gcc' },
  { file: '/usr/include/openssl/ssl.h', package: 'libssl-dev' },
  { file: '/usr/include/stdio.h', package: 'libc6-dev' },
] as const
const profiler = { file: 'perf', package: 'linux-perf' } as const

/** Debian starts servers when it installs them, unless this program forbids it (invoke-rc.d(8)). */
const POLICY = '/usr/sbin/policy-rc.d'

/**
 * Installs what is missing (root on Debian). Nothing is started by it. Returns the packages that are still missing:
 * the rows that need them fail by themselves.
 */
export function provideBenchTools(withProfiler: boolean): string[] {
  const needed = withProfiler ? [...tools, profiler] : tools
  const missing = (): string[] => needed.filter(({ file }) => !isThere(file)).map((tool) => tool.package)
  const wanted = missing()
  if (wanted.length === 0) return []
  if (process.getuid?.() === 0 && isThere('apt-get')) {
    console.error(`installing ${wanted.join(', ')} …`)
    withoutServices(() => install(wanted))
  }
  return missing()
}

function isThere(file: string): boolean {
  if (file.startsWith('/')) return existsSync(file)
  const folders = [...(process.env.PATH ?? '').split(':'), '/usr/sbin', '/sbin']
  return folders.some((folder) => existsSync(`${folder}/${file}`))
}

function withoutServices(work: () => void): void {
  if (existsSync(POLICY)) {
    work()
    return
  }
  mkdirSync('/usr/sbin', { recursive: true })
  writeFileSync(POLICY, '#!/bin/sh\nexit 101\n', { mode: 0o755 })
  try {
    work()
  } finally {
    rmSync(POLICY, { force: true })
  }
}

function install(packages: readonly string[]): void {
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  spawnSync('apt-get', ['update', '-q'], { stdio: 'ignore', env, timeout: 300_000 })
  const args = ['install', '-y', '-q', '--no-install-recommends', ...packages]
  const { status, stderr } = spawnSync('apt-get', args, { env, encoding: 'utf8', timeout: 900_000 })
  if (status !== 0) console.error(stderr)
}
