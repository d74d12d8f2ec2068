import { CLIENT_CPU, runPinned } from '../process.ts'
import type { Client } from './load.ts'

/** curl, one download of a path; its operations are megabytes (10^6 bytes). */
export function downloadClient(options: { port: number; serverName: string; path: string; bytes: number }): Client {
  const { port, serverName, path, bytes } = options
  return {
    async run() {
      const say = ['-w', '%{http_code} %{size_download}']
      const to = ['--resolve', `${serverName}:${port}:127.0.0.1`, `https://${serverName}:${port}${path}`]
      const args = ['-sSk', '--http1.1', '--max-time', '60', '-o', '/dev/null', ...say, ...to]
      const { stdout } = await runPinned(CLIENT_CPU, 'curl', args, 70_000)
      const [status, size] = stdout.trim().split(' ').map(Number)
      if (status !== 200 || size !== bytes) throw new Error(`the download was answered ${status} with ${size} bytes`)
      return { operations: bytes / 1e6, failed: 0, note: null }
    },
  }
}
