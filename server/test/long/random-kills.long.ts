import { randomInt } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { descendants } from '../process-tree.ts'
import { eventually } from '../stack.ts'
import { visit } from '../visit.ts'
import { addHostname, addSite, makeSite, startWorld, untilLive, type World } from '../world.ts'

const MINUTES = Number(process.env['LONG_MINUTES'] ?? 10)
const VICTIMS = ['server/control.ts', 'server/listener.ts', 'listener/worker.ts', '/postgres -D'] as const

/** Kills one process at random, again and again, until stopped. */
function keepKilling(world: World): { stop(): Promise<number> } {
  let isStopped = false
  let kills = 0
  const killing = (async () => {
    while (!isStopped) {
      await sleep(randomInt(500, 5_000))
      const fragment = VICTIMS[randomInt(VICTIMS.length)] ?? ''
      const victims = descendants(world.stack.parents[0]?.pid ?? 0).filter((entry) => entry.command.includes(fragment))
      const victim = victims[randomInt(Math.max(1, victims.length))]
      if (victim === undefined) continue
      try {
        process.kill(victim.pid, 'SIGKILL')
        kills += 1
      } catch {
        // It has ended by itself meanwhile.
      }
    }
  })()
  return {
    async stop() {
      isStopped = true
      await killing
      return kills
    },
  }
}

test(`names go live while processes are killed at random for ${MINUTES} minutes, none is lost or ordered twice`, async () => {
  await using world = await startWorld()
  const insist = <T>(call: () => Promise<T>): Promise<T> => eventually(call, 'a call is answered')
  const first = await makeSite(world.api, 'First', { 'index.html': 'first' })
  const killer = keepKilling(world)
  const names: string[] = []
  const until = Date.now() + MINUTES * 60_000
  for (let number = 0; Date.now() < until; number += 1) {
    const name = `n${number}.kills.test`
    const site = await insist(() => addSite(world.api, first.tenantId, `${name} ${Date.now()}`, { 'index.html': name }))
    const hostname = await insist(() => addHostname(world, site, name)).catch(() => null)
    if (hostname === null) continue
    await untilLive(world.api, hostname.id)
    names.push(name)
  }
  expect(await killer.stop()).toBeGreaterThan(MINUTES)
  for (const name of names) {
    const seen = await eventually(
      () => visit({ port: world.stack.httpsPort, serverName: name, ca: world.root }),
      `${name} is served`,
    )
    expect(seen.body).toBe(name)
  }
  // Only the step before the CA's answer is written may leave an order behind.
  expect(world.pebble.orderCount()).toBeLessThanOrEqual(Math.ceil(names.length * 1.1))
})
