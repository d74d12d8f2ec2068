import { expect, test } from 'vitest'
import type { Deadlines } from '../deadlines.ts'
import { createUpstreamChecks } from './upstream-checks.ts'

/** Deadlines that fire when the test turns the clock. */
function rig() {
  let now = 0
  const armed = new Set<{ at: number; expire: () => void }>()
  const deadlines: Deadlines = {
    arm(ms, expire) {
      const entry = { at: now + ms, expire }
      armed.add(entry)
      const rearm = (next: number): void => {
        entry.at = now + next
        armed.add(entry)
      }
      return { rearm, clear: () => void armed.delete(entry) }
    },
    close: () => armed.clear(),
  }
  const pass = (ms: number): void => {
    const end = now + ms
    for (;;) {
      const due = [...armed].filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0]
      if (due === undefined) break
      now = due.at
      armed.delete(due)
      due.expire()
    }
    now = end
  }
  const checks = createUpstreamChecks({ deadlines, now: () => now, random: () => 0.5 })
  const running: { peer: string; done: (isWell: boolean) => void }[] = []
  const told: string[] = []
  const watch = (...peers: string[]) =>
    checks.watch({
      check: { path: '/', intervalSeconds: 10, timeoutSeconds: 1 },
      peers,
      ask: (peer, done) => void running.push({ peer, done }),
      tell: (peer, isWell) => void told.push(`${peer} ${isWell}`),
      forget: () => void told.push('forgotten'),
    })
  return { pass, watch, running, told, armed }
}

test('a site is checked in its interval while it has requests, and costs nothing afterwards', () => {
  const { pass, watch, running, told, armed } = rig()
  const site = watch('one', 'two')
  pass(100_000)
  expect([running.length, armed.size]).toEqual([0, 0])
  site.touch()
  pass(1_000)
  for (const { done } of running.splice(0)) done(true)
  expect(told).toEqual(['one true', 'two true'])
  pass(10_000)
  expect(running.map(({ peer }) => peer)).toEqual(['one', 'two'])
  pass(60_000)
  expect(running.length).toBe(2)
  for (const { done } of running.splice(0)) done(false)
  pass(200_000)
  for (const { done } of running.splice(0)) done(true)
  expect([told.at(-3), armed.size]).toEqual(['forgotten', 0])
  site.touch()
  pass(1_000)
  expect(running.length).toBe(2)
})

test('so many run at once, and of one site fewer; the rest follows in turn', () => {
  const { pass, watch, running } = rig()
  const sites = Array.from({ length: 12 }, (_, site) => watch(...'abcdef'.split('').map((name) => `${site}${name}`)))
  for (const site of sites) site.touch()
  pass(1_000)
  expect(running.length).toBe(32)
  const perSite = Map.groupBy(running, ({ peer }) => peer.slice(0, -1))
  expect(Math.max(...[...perSite.values()].map((all) => all.length))).toBe(4)
  const asked = new Set<string>()
  while (running.length > 0) {
    expect(running.length).toBeLessThanOrEqual(32)
    const [first] = running.splice(0, 1)
    asked.add(first?.peer ?? '')
    first?.done(true)
  }
  expect(asked.size).toBe(72)
})

test('a closed site hears nothing more and gives its place back', () => {
  const { pass, watch, running, told, armed } = rig()
  const site = watch('one')
  site.touch()
  pass(1_000)
  site.close()
  running[0]?.done(false)
  site.touch()
  pass(100_000)
  expect([told, running.length, armed.size]).toEqual([[], 1, 0])
})
