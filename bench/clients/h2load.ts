import { CLIENT_CPU, runPinned } from '../process.ts'
import type { Client, Load } from './load.ts'

/** What h2load is asked for. */
export type H2loadOptions = {
  readonly port: number
  readonly serverName: string
  readonly connections: number
  readonly streams: number
  readonly seconds: number
}

/** h2load over HTTP/2 to one name. */
export function h2loadClient({ port, serverName, connections, streams, seconds }: H2loadOptions): Client {
  return {
    async run() {
      const args = [
        `-c${connections}`,
        `-m${streams}`,
        '-t1',
        `--duration=${Math.round(seconds * 1_000)}ms`,
        '--warm-up-time=0',
      ]
      const target = [`--connect-to=127.0.0.1:${port}`, `https://${serverName}:${port}/`]
      const { stdout } = await runPinned(CLIENT_CPU, 'h2load', [...args, ...target], seconds * 1_000 + 60_000)
      return h2loadReport(stdout)
    },
  }
}

/** Reads the line of totals. Throws where it is missing. */
export function h2loadReport(text: string): Load {
  const found =
    /^requests: \d+ total, \d+ started, \d+ done, (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout/m.exec(
      text,
    )
  if (found === null) throw new Error(`h2load did not report: ${text.slice(0, 500)}`)
  const protocol = /^Application protocol: (\S+)/m.exec(text)?.[1]
  if (protocol !== 'h2') throw new Error(`h2load spoke ${protocol ?? 'nothing'}, not h2`)
  const [succeeded = 0, failed = 0, errored = 0, timedOut = 0] = found.slice(1).map(Number)
  const status = /^status codes: (\d+) 2xx/m.exec(text)?.[1]
  return {
    operations: Math.min(succeeded, Number(status ?? succeeded)),
    failed: failed + errored + timedOut,
    note: null,
  }
}
