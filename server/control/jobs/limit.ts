/** Runs work with at most so many at the same time; the others wait in order. */
export type Limiter = <T>(work: () => Promise<T>) => Promise<T>

/** Makes a limiter of `slots` places. */
export function createLimiter(slots: number): Limiter {
  const waiting: (() => void)[] = []
  let free = slots
  return async (work) => {
    if (free > 0) free -= 1
    else await new Promise<void>((resolve) => waiting.push(resolve))
    try {
      return await work()
    } finally {
      const next = waiting.shift()
      if (next === undefined) free += 1
      else next()
    }
  }
}

/** Like a limiter of `slots` places for each key; keys that nobody uses are forgotten. */
export function createKeyedLimiter(slots: number): <T>(key: string, work: () => Promise<T>) => Promise<T> {
  const limiters = new Map<string, { limit: Limiter; users: number }>()
  return async (key, work) => {
    const limiter = limiters.get(key) ?? { limit: createLimiter(slots), users: 0 }
    limiters.set(key, limiter)
    limiter.users += 1
    try {
      return await limiter.limit(work)
    } finally {
      limiter.users -= 1
      if (limiter.users === 0) limiters.delete(key)
    }
  }
}

/**
 * Does `work` for each item, `slots` at a time. After a failure no further item is begun; it waits for
 * those that run, then throws the first failure.
 */
export async function eachLimited<T>(
  items: readonly T[],
  slots: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const queue = items.values()
  let failure: { error: unknown } | null = null
  const runner = async (): Promise<void> => {
    for (const item of queue) {
      if (failure !== null) return
      await work(item).catch((error: unknown) => {
        failure ??= { error }
      })
    }
  }
  await Promise.all(Array.from({ length: slots }, runner))
  throwFailure(failure)
}

function throwFailure(failure: { error: unknown } | null): void {
  if (failure !== null) throw failure.error
}
