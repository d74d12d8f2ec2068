import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { browserHome } from './browser-profile.ts'
import { freePorts } from './ports.ts'

const START_MS = 60_000

/** A headless Firefox, by its Marionette protocol. Ends with `await using`. */
export type Firefox = AsyncDisposable & {
  /** Loads a page; throws the browser's own error, e.g. of a certificate. */
  open(url: string): Promise<void>
  /** What a script (the body of a function) returns in the page. */
  evaluate(script: string): Promise<unknown>
}

/** Starts one that trusts a CA, finds `hosts` on this machine and has `http2` or not. */
export async function startFirefox(options: {
  readonly caPem: string
  readonly hosts: readonly string[]
  readonly http2: boolean
}): Promise<Firefox> {
  const home = await browserHome(options.caPem, '.')
  const [port = 0] = await freePorts(1)
  const preferences = {
    'marionette.port': port,
    'network.dns.localDomains': options.hosts.join(),
    'network.dns.disableIPv6': true,
    'network.http.http2.enabled': options.http2,
    'network.http.spdy.enabled.http2': options.http2,
    'network.http.http3.enable': false,
    'network.captive-portal-service.enabled': false,
    'network.connectivity-service.enabled': false,
    'network.trr.mode': 5,
    'security.OCSP.enabled': 0,
    'app.update.enabled': false,
    'browser.shell.checkDefaultBrowser': false,
    'datareporting.policy.dataSubmissionEnabled': false,
    'toolkit.telemetry.server': '',
  }
  const lines = Object.entries(preferences).map(([name, value]) => `user_pref("${name}", ${JSON.stringify(value)});\n`)
  writeFileSync(join(home.path, 'user.js'), lines.join(''))
  const args = ['--headless', '--no-remote', '--marionette', '--profile', home.path]
  const env = { PATH: process.env.PATH, HOME: home.path, MOZ_HEADLESS: '1', MOZ_DISABLE_CONTENT_SANDBOX: '1' }
  const child = spawn('firefox-esr', args, { env, stdio: 'ignore', detached: true })
  const ended = once(child, 'exit')
  const end = async (): Promise<void> => {
    // It and its content processes are a group of their own.
    if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, 'SIGKILL')
    await ended
    home[Symbol.dispose]()
  }
  try {
    const call = await marionette(port)
    await call('WebDriver:NewSession', { capabilities: { alwaysMatch: { acceptInsecureCerts: false } } })
    return {
      async open(url) {
        await call('WebDriver:Navigate', { url })
      },
      async evaluate(script) {
        const { value } = (await call('WebDriver:ExecuteScript', { script, args: [] })) as { value: unknown }
        return value
      },
      async [Symbol.asyncDispose]() {
        call.end()
        await end()
      },
    }
  } catch (error) {
    await end()
    throw error
  }
}

type Call = ((name: string, parameters: object) => Promise<unknown>) & { end(): void }

/** Messages are `<length>:<JSON>`: `[0, id, name, parameters]` and `[1, id, error, result]`. */
async function marionette(port: number): Promise<Call> {
  const socket = await connected(port)
  const waiting = new Map<number, (message: unknown[]) => void>()
  let rest = Buffer.alloc(0)
  let lastId = 0
  socket.on('error', () => undefined)
  socket.on('data', (piece: Buffer) => {
    rest = Buffer.concat([rest, piece])
    for (;;) {
      const colon = rest.indexOf(':')
      const length = Number(rest.subarray(0, Math.max(0, colon)).toString())
      if (colon < 0 || rest.length < colon + 1 + length) return
      const message = JSON.parse(rest.subarray(colon + 1, colon + 1 + length).toString())
      rest = rest.subarray(colon + 1 + length)
      if (Array.isArray(message)) waiting.get(message[1])?.(message)
    }
  })
  const call = (name: string, parameters: object): Promise<unknown> =>
    new Promise((resolve, reject) => {
      lastId += 1
      waiting.set(lastId, ([, , error, result]) => {
        if (error === null) resolve(result)
        else reject(new Error(String((error as { message?: string }).message)))
      })
      socket.once('close', () => reject(new Error('Firefox has ended')))
      const text = JSON.stringify([0, lastId, name, parameters])
      socket.write(`${Buffer.byteLength(text)}:${text}`)
    })
  return Object.assign(call, { end: () => void socket.destroy() })
}

async function connected(port: number): Promise<Socket> {
  const limit = performance.now() + START_MS
  for (;;) {
    const socket = connect(port, '127.0.0.1')
    try {
      await once(socket, 'connect')
      return socket
    } catch (error) {
      if (performance.now() > limit) throw error
      await sleep(200)
    }
  }
}
