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
  const remove = (key: string): void => {
    total -= entries.get(key)?.weight ?? 0
    entries.delete(key)
  }
  return {
    get(key) {
      const entry = entries.get(key)
      if (entry === undefined) return undefined
      entries.delete(key)
      entries.set(key, entry)
      return entry.value
    },
    set(key, value, weight) {
      remove(key)
      if (weight > maxWeight) return
      entries.set(key, { value, weight })
      total += weight
      for (const oldest of entries.keys()) {
        if (total <= maxWeight) break
        remove(oldest)
      }
    },
    delete: remove,
  }
}
