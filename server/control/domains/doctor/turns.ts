import { AppError } from '../../errors.ts'

/** Runs work for somebody, or refuses it while too much of it runs. */
export type Turns = <T>(key: string, work: () => Promise<T>) => Promise<T>

/**
 * At most `most` works at the same time, and `mostOfOne` of one key: an examination may take 10 s and 160
 * lookups, and any viewer may ask for one. Throws TOO_MANY_REQUESTS.
 */
export function createTurns(most: number, mostOfOne: number): Turns {
  const running = new Map<string, number>()
  return async (key, work) => {
    const own = running.get(key) ?? 0
    const all = [...running.values()].reduce((sum, count) => sum + count, 0)
    if (own >= mostOfOne || all >= most)
      throw new AppError('TOO_MANY_REQUESTS', 'Names are being looked at right now; try again in a few seconds.', {
        retryAfterSeconds: 10,
      })
    running.set(key, own + 1)
    try {
      return await work()
    } finally {
      const left = (running.get(key) ?? 1) - 1
      if (left > 0) running.set(key, left)
      else running.delete(key)
    }
  }
}
