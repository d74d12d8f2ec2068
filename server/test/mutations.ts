/** A source of numbers in 0..n-1 that is the same in every run (mulberry32). */
export type Random = (n: number) => number

/** Makes one from a seed: a failure can be run again. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0
  return (n) => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) % n
  }
}

const MOST_CHANGES = 8

/** A copy with up to eight bytes changed: set, flipped in one bit, or made an extreme; each fourth is cut short. */
export function mutate(bytes: Buffer, random: Random): Buffer {
  const length = random(4) === 0 ? 1 + random(bytes.length) : bytes.length
  const mutated = Buffer.from(bytes.subarray(0, length))
  for (let change = 1 + random(MOST_CHANGES); change > 0; change -= 1) {
    const at = random(length)
    const way = random(3)
    if (way === 0) mutated[at] = random(256)
    else if (way === 1) mutated[at] = (mutated[at] ?? 0) ^ (1 << random(8))
    else mutated[at] = random(2) * 255
  }
  return mutated
}
