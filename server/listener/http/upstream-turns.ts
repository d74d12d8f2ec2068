/** Whose turn it is among upstreams with weights. */
export type Turns = {
  /** The place of the next one among those that are open; -1 when none is. */
  next(isOpen: (at: number) => boolean): number
}

/**
 * Smooth weighted round robin, as nginx has it: everybody gains its weight, the richest answers and pays what
 * was gained by all. Of each run of as many turns as the weights' sum, every one has exactly its weight, spread
 * out. A weight that is not positive counts as none, unless all are: then all are equal.
 */
export function createTurns(weights: readonly number[]): Turns {
  const isAnyPositive = weights.some((weight) => weight > 0)
  const gains = weights.map((weight) => (isAnyPositive ? Math.max(0, weight) : 1))
  const balances = gains.map(() => 0)
  return {
    next(isOpen) {
      let chosen = -1
      let total = 0
      for (let at = 0; at < gains.length; at += 1) {
        const gain = gains[at] as number
        if (gain === 0 || !isOpen(at)) continue
        total += gain
        balances[at] = (balances[at] as number) + gain
        if (chosen < 0 || (balances[at] as number) > (balances[chosen] as number)) chosen = at
      }
      if (chosen >= 0) balances[chosen] = (balances[chosen] as number) - total
      return chosen
    },
  }
}
