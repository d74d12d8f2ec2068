/** A bounded map of what was used lately. `undefined` is no value. */
export type Recent<V> = {
  get(key: string): V | undefined
  set(key: string, value: V): void
  /** Takes the value out. */
  take(key: string): V | undefined
  readonly size: number
}

/**
 * Makes one of at most `max` entries. It has two generations: what was not used while `max / 2` others were is
 * forgotten, all at once. So each call costs the same in a flood of new keys; a map whose oldest key is looked for
 * at each insertion does not (V8 walks over all that were deleted before it).
 */
export function createRecent<V>(max: number): Recent<V> {
  let young = new Map<string, V>()
  let old = new Map<string, V>()
  const set = (key: string, value: V): void => {
    old.delete(key)
    young.set(key, value)
    if (young.size < max / 2) return
    old = young
    young = new Map()
  }
  return {
    get(key) {
      const value = young.get(key)
      if (value !== undefined) return value
      const before = old.get(key)
      if (before !== undefined) set(key, before)
      return before
    },
    set,
    take(key) {
      const value = young.get(key) ?? old.get(key)
      young.delete(key)
      old.delete(key)
      return value
    },
    get size() {
      return young.size + old.size
    },
  }
}
