import { spawn } from 'node:child_process'

const TIMEOUT_MS = 30_000

/** What `openssl s_client` saw. */
export type SClient = {
  readonly output: string
  /** `New` or `Reused`; null when no handshake was completed. */
  readonly session: 'New' | 'Reused' | null
  /** Subject of the leaf; null when no certificate came. */
  readonly subject: string | null
  /** Number of the alert that ended the handshake. */
  readonly alert: number | null
}

/**
 * Runs `openssl s_client`: the one client at hand that offers a session under another server name
 * (`-sess_in` with `-servername`). It sends one request for `host`, so that tickets arrive that a
 * server holds back until its first answer.
 */
export async function sClient(port: number, args: readonly string[], host = 'none'): Promise<SClient> {
  const child = spawn('openssl', ['s_client', '-connect', `127.0.0.1:${port}`, '-ign_eof', ...args])
  let output = ''
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()))
  child.stdin.on('error', () => undefined)
  child.stdin.write(`GET / HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`)
  const timer = setTimeout(() => child.kill('SIGKILL'), TIMEOUT_MS)
  await new Promise((resolve) => child.once('close', resolve))
  clearTimeout(timer)
  const session = /^(New|Reused), TLSv1/m.exec(output)?.[1] as 'New' | 'Reused' | undefined
  const alert = /SSL alert number (\d+)/.exec(output)?.[1]
  return {
    output,
    session: session ?? null,
    subject: /^subject=(.*)$/m.exec(output)?.[1]?.trim() ?? null,
    alert: alert === undefined ? null : Number(alert),
  }
}
