import { closeSync, openSync, readFileSync } from 'node:fs'

/** Kept free, so that accepting, reading records and opening files go on. */
const KEPT_FREE = 100

/** How many files this process may have open (`ulimit -n`). */
export function descriptorLimit(): number {
  return Number(/^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1] ?? 1_024)
}

/**
 * Tells whether there is room for another connection, whatever has taken the descriptors: connections, upstreams or
 * files. The kernel gives the lowest one that is free, so one call shows how many are in use (open(2)).
 */
export function hasDescriptors(limit: number): boolean {
  try {
    const lowest = openSync('/dev/null', 'r')
    closeSync(lowest)
    return lowest < limit - KEPT_FREE
  } catch {
    return false
  }
}
