import { randomInt } from 'node:crypto'
import type { EdgeReader } from './edge-store.ts'

/** Names that are read in one turn of the event loop: some 2 ms. */
const NAMES_PER_TURN = 2_000
/** Names that came since the last reading, those that are gone again among them, before all are read anew. */
const MAX_ADDED = 100_000
const FIRST_SLOTS = 4_096

/**
 * Says of most names that nobody has, without a look into the store, that they are not there: a flood of made-up names
 * costs little. 8 bytes for each name that is there.
 */
export type NameFilter = {
  /** False: the store has no record of this name. True: it may have one. */
  mayHave(name: string): boolean
  /** Records of these names came, changed or went. */
  note(name: string): void
}

/**
 * Makes it and begins to read all names, in the background; until that is done every name may be there. A name that
 * is read before it comes into the store is told of by `note`, as to all that remember what they have read.
 */
export function createNameFilter(
  reader: Pick<EdgeReader, 'namesAfter'>,
  nextTurn: (work: () => void) => void = setImmediate,
): NameFilter {
  const seed = randomInt(2 ** 32 - 1)
  let known: HashSet | null = null
  let fresh: HashSet | null = null
  let added = 0

  const readOn = (after: string, into: HashSet): void => {
    let names: string[]
    try {
      names = reader.namesAfter(after, NAMES_PER_TURN)
    } catch {
      // A store that cannot be read is told of by those who ask it for a record; without all names there is no filter.
      fresh = null
      return
    }
    for (const name of names) into.add(hashOf(name, seed))
    const last = names.at(-1)
    if (names.length === NAMES_PER_TURN && last !== undefined) return void nextTurn(() => readOn(last, into))
    known = into
    fresh = null
  }
  const read = (): void => {
    added = 0
    fresh = new HashSet()
    readOn('', fresh)
  }
  read()
  return {
    mayHave: (name) => known === null || known.has(hashOf(name, seed)),
    note(name) {
      const hash = hashOf(name, seed)
      known?.add(hash)
      fresh?.add(hash)
      added += 1
      if (added > MAX_ADDED && fresh === null) read()
    },
  }
}

/** FNV-1a with a seed and a last mix, never 0: names that somebody chose do not meet in one place. */
function hashOf(name: string, seed: number): number {
  let hash = seed ^ 0x811c9dc5
  for (let at = 0; at < name.length; at += 1) hash = Math.imul(hash ^ name.charCodeAt(at), 0x01000193)
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash ^= hash >>> 13
  return hash >>> 0 || 1
}

/** Open addressing, at most half full; 0 is an empty slot. */
class HashSet {
  #slots = new Uint32Array(FIRST_SLOTS)
  #size = 0

  has(hash: number): boolean {
    return this.#slots[this.#find(hash)] === hash
  }

  add(hash: number): void {
    const at = this.#find(hash)
    if (this.#slots[at] === hash) return
    this.#slots[at] = hash
    this.#size += 1
    if (this.#size * 2 > this.#slots.length) this.#grow()
  }

  /** Where it is, or the empty slot where it would be. */
  #find(hash: number): number {
    const slots = this.#slots
    const mask = slots.length - 1
    let at = hash & mask
    while (slots[at] !== 0 && slots[at] !== hash) at = (at + 1) & mask
    return at
  }

  #grow(): void {
    const before = this.#slots
    this.#slots = new Uint32Array(before.length * 2)
    for (const hash of before) if (hash !== 0) this.#slots[this.#find(hash)] = hash
  }
}
