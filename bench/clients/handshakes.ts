import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { benchFolder } from '../cleanup.ts'
import { CLIENT_CPU } from '../process.ts'
import type { Client } from './load.ts'

const SOURCE = fileURLToPath(new URL('handshakes.c', import.meta.url))
const READY_TIMEOUT_MS = 90_000

let binary: string | null = null

/** The options of `handshakes.c`. */
export type HandshakeOptions = {
  readonly port: number
  readonly seconds: number
  readonly names: number
  readonly first?: number
  readonly tls?: '1.2' | '1.3'
  readonly resume?: boolean
  readonly junk?: boolean
  /** One name after the other instead of any. */
  readonly sequential?: boolean
  readonly count?: number
  readonly concurrency?: number
}

type Report = { done: number; failed: number; resumed: number; seconds: number; problem: string }

/** Compiles the client once for each run of the bench. Throws with what the compiler said. */
export function handshakeBinary(): string {
  if (binary !== null) return binary
  const file = join(benchFolder('client'), 'handshakes')
  execFileSync('cc', ['-O2', '-Wall', '-o', file, SOURCE, '-lssl', '-lcrypto'], { stdio: ['ignore', 'pipe', 'pipe'] })
  binary = file
  return file
}

/** Starts the client and waits until it could begin; with `resume` it has made its sessions then. */
export async function handshakeClient(options: HandshakeOptions): Promise<Client> {
  const child = spawn('taskset', ['-c', String(CLIENT_CPU), handshakeBinary(), ...argumentsOf(options)])
  const timer = setTimeout(() => child.kill('SIGKILL'), READY_TIMEOUT_MS)
  let complaint = ''
  child.stderr.on('data', (chunk: Buffer) => (complaint += chunk.toString()))
  child.stdin.on('error', () => undefined)
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const ended = once(child, 'exit')
  ended.catch(() => undefined)
  const next = async (): Promise<string> => {
    const { value } = await lines.next()
    clearTimeout(timer)
    if (value === undefined) throw new Error(`the handshake client ended: ${complaint.trim()}`)
    return value
  }
  await next()
  return {
    async run() {
      const limit = setTimeout(() => child.kill('SIGKILL'), options.seconds * 1_000 + 60_000)
      child.stdin.end('go\n')
      const report = JSON.parse(await next()) as Report
      await ended
      clearTimeout(limit)
      const { done, failed, resumed, problem } = report
      return { operations: done, failed, note: noteOf(options, report, resumed) ?? (failed > 0 ? problem : null) }
    },
  }
}

function noteOf(options: HandshakeOptions, { done }: Report, resumed: number): string | null {
  if (options.resume) return resumed < done ? `${Math.round((resumed / done) * 100)} % resumed` : null
  return resumed > 0 ? `${resumed} resumed` : null
}

function argumentsOf({ resume, junk, sequential, ...values }: HandshakeOptions): string[] {
  const flags = Object.entries({ resume, junk, sequential }).filter(([, isOn]) => isOn === true)
  return [
    ...Object.entries(values).flatMap(([name, value]) => [`--${name}`, String(value)]),
    ...flags.map(([name]) => `--${name}`),
  ]
}
