import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { createDeadlines, type Deadlines } from './deadlines.ts'

describe('deadlines', () => {
  let deadlines: Deadlines
  let fired: string[]
  const note = (name: string) => () => void fired.push(name)
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] })
    deadlines = createDeadlines()
    fired = []
  })
  afterEach(() => {
    deadlines.close()
    vi.useRealTimers()
  })

  test.each([1, 99, 100, 101, 5_000, 51_200, 51_300, 200_000])(
    '%i ms: once, not before, at most two ticks later',
    (ms) => {
      vi.advanceTimersByTime(37)
      deadlines.arm(ms, note('a'))
      vi.advanceTimersByTime(ms - 1)
      expect(fired).toEqual([])
      vi.advanceTimersByTime(201)
      expect(fired).toEqual(['a'])
      vi.advanceTimersByTime(300_000)
      expect(fired).toEqual(['a'])
    },
  )

  test('a cleared one never fires, and can be armed again', () => {
    const deadline = deadlines.arm(1_000, note('a'))
    deadline.clear()
    vi.advanceTimersByTime(5_000)
    expect(fired).toEqual([])
    deadline.rearm(1_000)
    vi.advanceTimersByTime(2_000)
    deadline.rearm(1_000)
    vi.advanceTimersByTime(2_000)
    expect(fired).toEqual(['a', 'a'])
  })

  test('arming anew counts from now, whether later or earlier', () => {
    const later = deadlines.arm(1_000, note('later'))
    const earlier = deadlines.arm(90_000, note('earlier'))
    for (let turn = 0; turn < 200; turn += 1) {
      later.rearm(1_000)
      vi.advanceTimersByTime(500)
    }
    expect(fired).toEqual(['earlier'])
    vi.advanceTimersByTime(1_000)
    expect(fired).toEqual(['earlier', 'later'])
    earlier.rearm(60_000)
    earlier.rearm(300)
    vi.advanceTimersByTime(600)
    expect(fired).toEqual(['earlier', 'later', 'earlier'])
  })

  test('one that throws, clears others or arms new ones does not harm the rest', async () => {
    const uncaught = vi.fn()
    const before = process.listeners('uncaughtException')
    process.removeAllListeners('uncaughtException')
    process.once('uncaughtException', uncaught)
    deadlines.arm(1_000, () => {
      victim.clear()
      deadlines.arm(100, note('new'))
      throw new Error('thrown on purpose')
    })
    const victim = deadlines.arm(1_000, note('victim'))
    deadlines.arm(1_000, note('rest'))
    vi.advanceTimersByTime(1_500)
    expect(fired).toEqual(['rest', 'new'])
    await new Promise((resolve) => setTimeout(resolve, 1))
    for (const listener of before) process.on('uncaughtException', listener)
    expect(uncaught).toHaveBeenCalledOnce()
  })

  test('after a stall of several turns everything that is due fires, and only that', () => {
    for (const ms of [1_000, 30_000, 60_000, 100_000, 500_000]) deadlines.arm(ms, note(String(ms)))
    const now = performance.now()
    const clock = vi.spyOn(performance, 'now').mockImplementation(() => now + 130_000)
    vi.advanceTimersByTime(100)
    expect(fired.toSorted()).toEqual(['1000', '100000', '30000', '60000'])
    clock.mockRestore()
  })

  test('nothing fires after the wheel is closed', () => {
    deadlines.arm(100, note('a'))
    deadlines.close()
    vi.advanceTimersByTime(1_000)
    expect(fired).toEqual([])
  })
})
