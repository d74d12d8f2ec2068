import { networkInterfaces } from 'node:os'
import { unmapped } from '../contract/reach.ts'
import type { Bind } from './worker-messages.ts'

/** Whether this listener answers at an address and port itself. */
export type OwnAddresses = (address: string, port: number) => boolean

/** Addresses come and go while a worker runs. */
const READ_AGAIN_MS = 5_000
const WILDCARDS = new Set(['0.0.0.0', '::'])

/** From the binds of the worker; a wildcard stands for all addresses of this machine. */
export function createOwnAddresses(binds: readonly Bind[], now: () => number = Date.now): OwnAddresses {
  let local = new Set<string>()
  let readAtMs = Number.NEGATIVE_INFINITY
  const isLocal = (address: string): boolean => {
    if (address.startsWith('127.') || address === '::1' || WILDCARDS.has(address)) return true
    if (now() - readAtMs >= READ_AGAIN_MS) {
      const all = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? [])
      local = new Set(all.map((one) => one.address))
      readAtMs = now()
    }
    return local.has(address)
  }
  return (address, port) => {
    const plain = unmapped(address)
    return binds.some(
      (bind) => bind.port === port && (bind.address === plain || (WILDCARDS.has(bind.address) && isLocal(plain))),
    )
  }
}
