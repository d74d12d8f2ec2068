import { spawn } from 'node:child_process'
import { type DnsProvider, DnsProviderError, PROVIDER_MS, requireZone } from '../provider.ts'

/** What is kept of what a hook prints. */
const MAX_OUTPUT_BYTES = 16_384
const MAX_SAID_LENGTH = 200

/** A program on this machine. `command` is an absolute path; `secret` is given to it on its standard input. */
export type HookOptions = {
  readonly command: string
  readonly secret: string | null
  readonly zones: readonly string[]
}

/**
 * Runs `command set|remove <fqdn> <value>` without a shell, in an environment of its own (nothing of ours,
 * where secrets are), with `{action, fqdn, value, zone, secret}` as JSON on standard input. Exit status 0
 * means done. It and its children are killed after `PROVIDER_MS`, or when they print too much.
 */
export function createHookProvider(options: HookOptions): DnsProvider {
  const run = (action: 'set' | 'remove', fqdn: string, value: string, signal: AbortSignal): Promise<void> => {
    const input = { action, fqdn, value, zone: requireZone(options.zones, fqdn), secret: options.secret }
    return runHook(options.command, [action, fqdn, value], JSON.stringify(input), signal)
  }
  return {
    setTxt: async (fqdn, value, signal) => run('set', fqdn, value, signal),
    removeTxt: async (fqdn, value, signal) => run('remove', fqdn, value, signal),
  }
}

async function runHook(command: string, args: readonly string[], input: string, signal: AbortSignal): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  // A group of its own, so that its children end with it.
  const child = spawn(command, args, {
    detached: true,
    cwd: '/',
    env: { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', LANG: 'C.UTF-8' },
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  let output = ''
  let bytes = 0
  const fail = (code: DnsProviderError['code'], text: string, cause?: unknown): void => {
    reject(new DnsProviderError(code, `the hook ${command} ${text}`, { cause }))
  }
  const keep = (chunk: Buffer): void => {
    bytes += chunk.length
    if (bytes > MAX_OUTPUT_BYTES) fail('answer', `printed more than ${MAX_OUTPUT_BYTES} bytes and was stopped`)
    else output += chunk.toString('utf8')
  }
  child.stdout.on('data', keep)
  child.stderr.on('data', keep)
  child.stdin.on('error', () => undefined)
  child.stdin.end(input)
  child.on('error', (error: NodeJS.ErrnoException) => fail('config', `cannot be run (${error.code ?? ''})`, error))
  child.on('exit', (status) => {
    if (status === 0) resolve()
    endGroup(child.pid)
  })
  // After all that it printed.
  child.on('close', (status, killed) => {
    const said = output.trim().split('\n').at(-1)?.slice(0, MAX_SAID_LENGTH) ?? ''
    fail('refused', `ended with ${killed ?? `status ${status}`}${said === '' ? '' : `: ${said}`}`)
  })
  const late = (): void => fail('timeout', 'did not end in time and was stopped')
  const deadline = AbortSignal.any([signal, AbortSignal.timeout(PROVIDER_MS)])
  if (deadline.aborted) late()
  deadline.addEventListener('abort', late, { once: true })
  try {
    await promise
  } finally {
    deadline.removeEventListener('abort', late)
    endGroup(child.pid)
  }
}

/** Ends the hook and what it left running. */
function endGroup(pid: number | undefined): void {
  if (pid === undefined) return
  try {
    process.kill(-pid, 'SIGKILL')
  } catch {
    // The group has ended by itself.
  }
}
