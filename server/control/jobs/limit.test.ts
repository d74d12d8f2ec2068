import { expect, test } from 'vitest'
import { createKeyedLimiter, createLimiter, eachLimited } from './limit.ts'

/** Work that counts how much of it runs at once. */
function countedWork() {
  const counts = { running: 0, most: 0, done: 0 }
  const work = async (): Promise<void> => {
    counts.running += 1
    counts.most = Math.max(counts.most, counts.running)
    await new Promise((resolve) => setImmediate(resolve))
    counts.running -= 1
    counts.done += 1
  }
  return { counts, work }
}

test('a limiter fills its places and never more, also after failures', async () => {
  const limit = createLimiter(3)
  const { counts, work } = countedWork()
  const fail = async (): Promise<never> => {
    throw new Error('failed')
  }
  const all = Array.from({ length: 30 }, (_, n) => limit<unknown>(n % 5 === 0 ? fail : work))
  const results = await Promise.allSettled(all)
  expect(results.filter((result) => result.status === 'rejected')).toHaveLength(6)
  expect(counts).toEqual({ running: 0, most: 3, done: 24 })
})

test('a keyed limiter has places for each key', async () => {
  const limit = createKeyedLimiter(2)
  const { counts, work } = countedWork()
  await Promise.all(Array.from({ length: 20 }, (_, n) => limit(n % 2 === 0 ? 'a' : 'b', work)))
  expect(counts).toEqual({ running: 0, most: 4, done: 20 })
})

test('after a failure nothing more is begun, and what runs is waited for', async () => {
  const { counts, work } = countedWork()
  const begun: number[] = []
  const failing = eachLimited([1, 2, 3, 4, 5, 6], 2, async (item) => {
    begun.push(item)
    if (item === 1) throw new Error('the first')
    await work()
  })
  await expect(failing).rejects.toThrow('the first')
  expect(counts.running).toBe(0)
  expect(begun.length).toBeLessThan(6)
})
