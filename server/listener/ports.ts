import { writeFileSync } from 'node:fs'
import { type AddressInfo, createServer, type Server } from 'node:net'
import type { Logger } from '../process/log.ts'
import { OperatorError } from '../process/operator-error.ts'
import type { Listen } from '../process/settings.ts'
import type { Orphans } from './orphans.ts'
import type { Bind } from './worker-messages.ts'

const MIGRATE = '/proc/sys/net/ipv4/tcp_migrate_req'

/** A port that cannot be had. `message` is one line that says which, why, and what to do. */
export class PortError extends OperatorError {
  override name = 'PortError'
}

/** What is to be listened on: `listen` null is every address on `port`, or on `fallback` where that is not permitted. */
export type PortWish = {
  readonly listen: readonly Listen[] | null
  readonly port: number
  readonly fallback: number
  /** The variable that changes it, for the error text. */
  readonly setting: string
}

/**
 * Finds what workers shall bind, by binding it once without `reusePort`, so that a foreign listener
 * is an error now instead of a share of the visitors later. What orphan workers of ours hold is taken
 * as free. Port 0 becomes a free port. Throws `PortError`.
 */
export async function resolvePorts(wishes: readonly PortWish[], orphans: Pick<Orphans, 'hold'>): Promise<Bind[][]> {
  const probes: Server[] = []
  const isOurs = (bind: Bind): boolean => orphans.hold(bind)
  try {
    const result: Bind[][] = []
    for (const wish of wishes) result.push(await resolveWish(wish, probes, isOurs))
    return result
  } finally {
    await Promise.all(probes.map((probe) => new Promise((resolve) => probe.close(resolve))))
  }
}

async function resolveWish(wish: PortWish, probes: Server[], isOurs: (bind: Bind) => boolean): Promise<Bind[]> {
  if (wish.listen !== null) {
    checkMix(wish.listen, wish.setting)
    const binds: Bind[] = []
    for (const listen of wish.listen) binds.push(...(await probeListen(listen, wish.setting, probes, isOurs)))
    return binds
  }
  try {
    return await probeListen({ address: null, port: wish.port }, wish.setting, probes, isOurs)
  } catch (error) {
    if (!(error instanceof PortError) || codeOf(error.cause) !== 'EACCES') throw error
    return probeListen({ address: null, port: wish.fallback }, wish.setting, probes, isOurs)
  }
}

/** The kernel lets a port be bound to every address or to single ones, not both (with `reusePort` neither). */
function checkMix(listens: readonly Listen[], setting: string): void {
  for (const every of listens.filter((listen) => listen.address === null && listen.port !== 0)) {
    if (listens.filter((listen) => listen.port === every.port).length === 1) continue
    throw new PortError(`${setting}: port ${every.port} is named for every address and once more; name it once`)
  }
}

async function probeListen(
  listen: Listen,
  setting: string,
  probes: Server[],
  isOurs: (bind: Bind) => boolean,
): Promise<Bind[]> {
  if (listen.address !== null) {
    const bind = { address: listen.address, port: listen.port, ipv6Only: listen.address.includes(':') }
    return [await probe(bind, setting, probes, isOurs)]
  }
  const first = await probe({ address: '0.0.0.0', port: listen.port, ipv6Only: false }, setting, probes, isOurs)
  try {
    return [first, await probe({ address: '::', port: first.port, ipv6Only: true }, setting, probes, isOurs)]
  } catch (error) {
    const code = codeOf((error as PortError).cause)
    if (code === 'EAFNOSUPPORT' || code === 'EADDRNOTAVAIL') return [first]
    throw error
  }
}

async function probe(bind: Bind, setting: string, probes: Server[], isOurs: (bind: Bind) => boolean): Promise<Bind> {
  const server = createServer((socket) => socket.destroy())
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  server.once('error', reject)
  server.listen({ host: bind.address, port: bind.port, ipv6Only: bind.ipv6Only, exclusive: true }, resolve)
  try {
    await promise
  } catch (cause) {
    if (codeOf(cause) === 'EADDRINUSE' && isOurs(bind)) return bind
    if (probes.some((other) => overlaps(other.address() as AddressInfo | null, bind)))
      throw new PortError(`${setting}: port ${bind.port} is asked for twice; give HTTPS and HTTP a port each`, {
        cause,
      })
    throw new PortError(`${setting}: ${problemOf(bind, codeOf(cause), cause as Error)}`, { cause })
  }
  probes.push(server)
  const bound = server.address()
  return bound !== null && typeof bound === 'object' ? { ...bind, port: bound.port } : bind
}

/** Whether a port that we hold ourselves stands in the way. */
function overlaps(held: AddressInfo | null, bind: Bind): boolean {
  const every = ['0.0.0.0', '::']
  if (held === null || held.port !== bind.port) return false
  return held.address === bind.address || every.includes(held.address) || every.includes(bind.address)
}

function problemOf(bind: Bind, code: string | undefined, cause: Error): string {
  const where = bind.address === '0.0.0.0' || bind.address === '::' ? '' : ` of ${bind.address}`
  if (code === 'EADDRINUSE')
    return `port ${bind.port}${where} is in use by another program; stop it, or choose another port`
  if (code === 'EACCES')
    return `port ${bind.port}${where} needs the right to bind low ports; give it (CAP_NET_BIND_SERVICE), or choose a port above 1023`
  if (code === 'EADDRNOTAVAIL') return `${bind.address} is no address of this machine`
  return `port ${bind.port}${where} cannot be bound (${cause.message})`
}

function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException | undefined)?.code
}

/**
 * Lets the kernel hand connections that wait for a closing worker to another one (Linux 5.14,
 * `net.ipv4.tcp_migrate_req`), where that is permitted.
 */
export function permitMigration(log: Logger): void {
  try {
    writeFileSync(MIGRATE, '1')
  } catch (error) {
    log.warn(
      { reason: (error as Error).message },
      'net.ipv4.tcp_migrate_req cannot be set to 1: connections that wait for a worker which ends are reset',
    )
  }
}
