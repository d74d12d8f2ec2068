import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { benchFolder, removeFolder } from '../cleanup.ts'
import { CLIENT_CPU, runPinned } from '../process.ts'
import type { Client, Load } from './load.ts'

/** What a browser sends with a page of a site that it has visited before (Chromium 118, first-party cookies). */
export const browserFields: Readonly<Record<string, string>> = {
  'sec-ch-ua': '"Chromium";v="118", "Not=A?Brand";v="99"',
  'sec-ch-ua-mobile': '?0',
  'sec-ch-ua-platform': '"Linux"',
  'Upgrade-Insecure-Requests': '1',
  'User-Agent': 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/118.0.0.0 Safari/537.36',
  Accept:
    'text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7',
  'Sec-Fetch-Site': 'none',
  'Sec-Fetch-Mode': 'navigate',
  'Sec-Fetch-User': '?1',
  'Sec-Fetch-Dest': 'document',
  'Accept-Language': 'en-GB,en;q=0.9,de;q=0.8',
  Cookie: 'session=4f1c2e7d9a3b4c5d8e6f7a8b9c0d1e2f; theme=dark; consent=1',
}

/** What wrk is asked for. */
export type WrkOptions = {
  readonly port: number
  readonly serverName: string
  readonly connections: number
  readonly seconds: number
  readonly fields: Readonly<Record<string, string>>
}

/** wrk on keep-alive connections to one name. Its script sends the name's connections to 127.0.0.1. */
export function wrkClient({ port, serverName, connections, seconds, fields }: WrkOptions): Client {
  return {
    async run() {
      const folder = benchFolder('wrk')
      try {
        const script = join(folder, 'local.lua')
        writeFileSync(script, scriptFor(seconds))
        const url = `https://${serverName}:${port}/`
        const headers = Object.entries(fields).flatMap(([name, value]) => ['-H', `${name}: ${value}`])
        const whole = String(Math.max(1, Math.round(seconds)))
        const args = ['-t1', `-c${connections}`, `-d${whole}s`, '-s', script, ...headers, url]
        const { stdout } = await runPinned(CLIENT_CPU, 'wrk', args, seconds * 1_000 + 60_000)
        return wrkReport(stdout)
      } finally {
        removeFolder(folder)
      }
    },
  }
}

function scriptFor(seconds: number): string {
  return `-- Names of the bench are in no DNS; the server name of TLS stays that of the URL. ${seconds} s
function wrk.resolve(host, service)
  wrk.addrs = wrk.lookup("127.0.0.1", service)
end
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format("bench %d %d\\n", summary.requests, e.connect + e.read + e.write + e.status + e.timeout))
end
`
}

/** Reads what our script writes. Throws where it is missing. */
export function wrkReport(text: string): Load {
  const found = /^bench (\d+) (\d+)$/m.exec(text)
  if (found === null) throw new Error(`wrk did not report: ${text.slice(0, 500)}`)
  return { operations: Number(found[1]), failed: Number(found[2]), note: null }
}
