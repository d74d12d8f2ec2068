/** Something that a `FastCache` may let go of. */
export type Cached = {
  /** Set by whoever uses it; the cache takes it back when it looks for room. */
  isUsed: boolean
  /** Called once, when it is out. */
  forget(): void
}

/**
 * A bounded set of what is hot. Unlike a list in order of use it costs a hit nothing but a flag: what was used
 * since the last look gets a second chance, what was not goes (the CLOCK algorithm).
 */
export type FastCache = {
  /** Adds an entry, or weight to one that is in. */
  add(entry: Cached, weightBytes: number): void
  remove(entry: Cached): void
}

/** Makes a cache whose weights together stay within `maxBytes`. */
export function createFastCache(maxBytes: number): FastCache {
  const weights = new Map<Cached, number>()
  let total = 0
  const remove = (entry: Cached): void => {
    total -= weights.get(entry) ?? 0
    if (weights.delete(entry)) entry.forget()
  }
  const makeRoom = (): void => {
    for (const [entry, weight] of weights) {
      if (total <= maxBytes) return
      if (entry.isUsed) {
        entry.isUsed = false
        weights.delete(entry)
        weights.set(entry, weight)
      } else remove(entry)
    }
  }
  return {
    add(entry, weightBytes) {
      total += weightBytes
      weights.set(entry, (weights.get(entry) ?? 0) + weightBytes)
      if (total > maxBytes) makeRoom()
    },
    remove,
  }
}
