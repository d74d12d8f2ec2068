import { closeSync, openSync, readFileSync } from 'node:fs'

/** Kept free by all, so that reading records and opening files go on. */
const KEPT_FREE = 100
/** Kept free by connections to upstreams besides, so that they never take the last ones from visitors. */
const KEPT_FOR_VISITORS = 100

let known: number | null = null

/** How many files this process may have open (`ulimit -n`), as it was at the first call. */
export function descriptorLimit(): number {
  known ??= Number(/^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1] ?? 1_024)
  return known
}

/**
 * Tells whether there is room for another connection, whatever has taken the descriptors: connections, upstreams or
 * files. Running out of them makes Bun spin in its accept loop. The kernel gives the lowest one that is free
 * (open(2)), so one call of a few microseconds shows how many are in use.
 */
export function hasDescriptors(use: 'visitor' | 'upstream'): boolean {
  try {
    const lowest = openSync('/dev/null', 'r')
    closeSync(lowest)
    return lowest < descriptorLimit() - KEPT_FREE - (use === 'upstream' ? KEPT_FOR_VISITORS : 0)
  } catch {
    return false
  }
}
