import { setTimeout as sleep } from 'node:timers/promises'
import { connect } from 'node:tls'

const TIMEOUT_MS = 10_000
const PARALLEL = 16

/** What visitors of many names have seen. */
export type Watch = {
  /** Handshakes so far. */
  handshakes: number
  /** Those that got no certificate at all. */
  failed: number
  /** Those that got one that had expired, with the name and by how many ms. */
  readonly expired: { readonly name: string; readonly byMs: number }[]
  /** Fingerprints by name, in the order in which they were seen. */
  readonly seen: ReadonlyMap<string, ReadonlySet<string>>
  stop(): Promise<void>
}

/** Visits each name again and again until it is stopped, and trusts no row: only what the handshake shows. */
export function watchNames(port: number, names: readonly string[], pauseMs: number): Watch {
  const seen = new Map(names.map((name) => [name, new Set<string>()]))
  let isStopped = false
  const watch = { handshakes: 0, failed: 0, expired: [] as { name: string; byMs: number }[], seen }
  const visitOne = async (name: string): Promise<void> => {
    const leaf = await leafOf(port, name)
    watch.handshakes += 1
    if (leaf === null) watch.failed += 1
    const byMs = leaf === null ? 0 : Date.now() - leaf.notAfterMs
    if (byMs > 0) watch.expired.push({ name, byMs })
    if (leaf !== null) seen.get(name)?.add(leaf.fingerprint)
  }
  const visitAll = async (offset: number): Promise<void> => {
    const mine = names.filter((_, index) => index % PARALLEL === offset)
    for (let index = 0; !isStopped && mine.length > 0; index = (index + 1) % mine.length) {
      await visitOne(mine[index] ?? '')
      await sleep(pauseMs)
    }
  }
  const running = Array.from({ length: PARALLEL }, (_, offset) => visitAll(offset))
  return Object.assign(watch, {
    async stop() {
      isStopped = true
      await Promise.all(running)
    },
  })
}

function leafOf(port: number, name: string): Promise<{ fingerprint: string; notAfterMs: number } | null> {
  return new Promise((resolve) => {
    const socket = connect({
      host: '127.0.0.1',
      port,
      servername: name,
      rejectUnauthorized: false,
      timeout: TIMEOUT_MS,
    })
    const end = (value: { fingerprint: string; notAfterMs: number } | null): void => {
      socket.destroy()
      resolve(value)
    }
    socket.once('secureConnect', () => {
      const { fingerprint256, valid_to } = socket.getPeerCertificate()
      end({ fingerprint: fingerprint256, notAfterMs: Date.parse(valid_to) })
    })
    socket.once('error', () => end(null))
    socket.once('timeout', () => end(null))
  })
}
