/** A bounded map that forgets what was not asked for longest. `undefined` is no value. */
export type Lru<V> = {
  get(key: string): V | undefined
  /** A value heavier than the whole bound is not kept. */
  set(key: string, value: V, weight: number): void
  delete(key: string): void
}

/** Makes an `Lru` whose weights together never exceed `maxWeight` (any unit). */
export function createLru<V>(maxWeight: number): Lru<V> {
  const entries = new Map<string, { value: V; weight: number }>()
  let total = 0
  // One that goes on: a new one would walk over all that were deleted before the oldest, at each insertion.
  let oldest = entries.keys()
  let moves = 0
  /** An iterator keeps every table that the map has outgrown since its last step, so it must not stand still for long. */
  const append = (key: string, entry: { value: V; weight: number }): void => {
    entries.set(key, entry)
    moves += 1
    if (moves < entries.size) return
    moves = 0
    oldest = entries.keys()
  }
  const remove = (key: string): void => {
    total -= entries.get(key)?.weight ?? 0
    entries.delete(key)
  }
  return {
    get(key) {
      const entry = entries.get(key)
      if (entry === undefined) return undefined
      entries.delete(key)
      append(key, entry)
      return entry.value
    },
    set(key, value, weight) {
      remove(key)
      if (weight > maxWeight) return
      append(key, { value, weight })
      total += weight
      while (total > maxWeight) {
        const next = oldest.next()
        if (next.done) oldest = entries.keys()
        else remove(next.value)
      }
    },
    delete: remove,
  }
}
