import { execFileSync } from 'node:child_process'
import { connect } from 'node:net'
import { descendants } from '../../server/test/process-tree.ts'
import type { Running } from '../process.ts'
import type { Scene } from '../scene.ts'

/** The servers that are compared, by the names under which figures are kept. */
export const serverNames = ['nameplate-bun', 'nameplate-node', 'nginx', 'haproxy', 'caddy'] as const

/** One of `serverNames`. */
export type ServerName = (typeof serverNames)[number]

/** A server that answers a scene. */
export type Server = {
  readonly name: ServerName
  readonly port: number
  /** `performance.now()` before its first process was made. */
  readonly startedAt: number
  /** All its processes: what they use is what it uses. */
  readonly pids: readonly number[]
  /** The processes that answer connections. */
  readonly workers: readonly number[]
  stop(): Promise<void>
}

/** A kind of server. */
export type ServerKind = {
  readonly name: ServerName
  version(): string
  /** Resolves when it takes connections. */
  start(scene: Scene, options?: StartLimits): Promise<Server>
}

/** How long a start may take; loading 100,000 certificates takes minutes. */
export type StartLimits = { readonly limitMs: number }

/** A server of one program: its process and those that it has started. */
export function serverOf(name: ServerName, port: number, running: Running): Server {
  const below = descendants(running.pid).map((entry) => entry.pid)
  return {
    name,
    port,
    startedAt: running.startedAt,
    pids: [running.pid, ...below],
    workers: below.length === 0 ? [running.pid] : below,
    stop: () => running.stop(),
  }
}

/** Whether a port of 127.0.0.1 takes connections. */
export function takesConnections(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}

/** What a program says of its version on either stream, first match of `pattern`. */
export function versionOf(command: string, args: readonly string[], pattern: RegExp): string {
  try {
    const said = execFileSync('sh', ['-c', `"$0" "$@" 2>&1; true`, command, ...args], {
      encoding: 'utf8',
      timeout: 20_000,
    })
    return pattern.exec(said)?.[1] ?? 'unknown'
  } catch {
    return 'unknown'
  }
}
