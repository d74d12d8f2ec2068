import { closeSync, openSync, readFileSync } from 'node:fs'

/** Kept free by all, so that reading records and opening files go on. */
const KEPT_FREE = 100
/** Kept free by connections to upstreams besides, so that they never take the last ones from visitors. */
const KEPT_FOR_VISITORS = 100

let known: number | null = null
/** Questions that the last look still answers. */
let unseen = 0

/** How many files this process may have open (`ulimit -n`), as it was at the first call. */
export function descriptorLimit(): number {
  known ??= Number(/^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1] ?? 1_024)
  return known
}

/** Most questions that are answered from one look. */
const MOST_UNSEEN = 32
/** So many free ones stand for one question that needs no look: whatever is opened between two takes a few each. */
const FREE_FOR_ONE = 8

/**
 * Tells whether there is room for another connection, whatever has taken the descriptors: connections, upstreams or
 * files. Running out of them makes Bun spin in its accept loop. The kernel gives the lowest one that is free
 * (open(2)), so one call of a few microseconds shows how many are in use; while many are free, not each question
 * makes it.
 */
export function hasDescriptors(use: 'visitor' | 'upstream'): boolean {
  if (unseen > 0) {
    unseen -= 1
    return true
  }
  const kept = KEPT_FREE + (use === 'upstream' ? KEPT_FOR_VISITORS : 0)
  try {
    const lowest = openSync('/dev/null', 'r')
    closeSync(lowest)
    const free = descriptorLimit() - kept - lowest
    unseen = Math.max(0, Math.min(MOST_UNSEEN, Math.floor(free / FREE_FOR_ONE) - MOST_UNSEEN))
    return free > 0
  } catch {
    return false
  }
}
