import { readFileSync } from 'node:fs'
import { arch, cpus, release, totalmem } from 'node:os'
import { type Runtime, runtimeBinary } from '../server/listener/worker-command.ts'
import { ownVersion } from '../server/process/version.ts'
import { caddy } from './peers/caddy.ts'
import { haproxy } from './peers/haproxy.ts'
import { nginx } from './peers/nginx.ts'
import { type ServerName, versionOf } from './peers/server.ts'

/** Where and with what the figures were made. */
export type Facts = {
  readonly at: string
  readonly cpu: string
  readonly cores: number
  readonly memoryMb: number
  readonly kernel: string
  readonly system: string
  readonly nameplate: string
  readonly versions: Readonly<Record<ServerName | 'openssl' | 'wrk' | 'h2load' | 'curl', string>>
}

/** Version of a runtime of our workers. */
export function runtimeVersion(runtime: Runtime): string {
  const binary = runtimeBinary(runtime)
  return binary === null ? 'not installed' : versionOf(binary, ['--version'], /v?([\d.]+)/)
}

/** Asks this machine. */
export function readFacts(): Facts {
  return {
    at: new Date().toISOString(),
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: cpus().length,
    memoryMb: Math.round(totalmem() / 1e6),
    kernel: `${release()} ${arch()}`,
    system: systemName(),
    nameplate: ownVersion(),
    versions: {
      'nameplate-bun': `bun ${runtimeVersion('bun')}`,
      'nameplate-node': `node ${runtimeVersion('node')}`,
      nginx: nginx.version(),
      haproxy: haproxy.version(),
      caddy: caddy.version(),
      openssl: versionOf('openssl', ['version'], /OpenSSL ([\d.]+)/),
      wrk: versionOf('wrk', ['-v'], /(\d+\.\d+\.\d+)/),
      h2load: versionOf('h2load', ['--version'], /nghttp2\/([\d.]+)/),
      curl: versionOf('curl', ['--version'], /curl ([\d.]+)/),
    },
  }
}

function systemName(): string {
  try {
    return /^PRETTY_NAME="(.*)"$/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1] ?? 'unknown'
  } catch {
    return 'unknown'
  }
}
