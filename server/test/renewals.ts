import { setTimeout as sleep } from 'node:timers/promises'
import type { HostnameView } from '../control/domains/schema.ts'
import type { Pebble } from './pebble.ts'
import { type Watch, watchNames } from './renewal-watch.ts'
import { eventually } from './stack.ts'
import { makeSite, startWorld, type World } from './world.ts'

/** Names that are added at the same time. */
const PARALLEL = 8
/** Looks at how many are live; each reads them all. */
const LOOK_MS = 3_000

/** How large and how long. */
export type RenewalRun = {
  readonly names: number
  readonly lifetimeSeconds: number
  /** Each name is to be renewed so often. */
  readonly renewals: number
}

/** What came of it. */
export type RenewalResult = {
  readonly handshakes: number
  readonly failedHandshakes: number
  readonly expired: Watch['expired']
  /** Fewest renewals of a name. */
  readonly fewest: number
  readonly orders: number
  readonly badNonces: number
  readonly failedValidations: number
  readonly pauses: number
  readonly restarts: number
  readonly minutes: number
}

/**
 * The whole product with certificates that live for minutes, at a Pebble that rejects nonces, is slow,
 * fails to look names up, stands still and forgets everything; visitors watch every name meanwhile.
 */
export async function renewUnderFaults(run: RenewalRun): Promise<RenewalResult> {
  const pebbleOptions = {
    certificateValiditySeconds: run.lifetimeSeconds,
    nonceRejectPercent: 10,
    validationSleepSeconds: 2,
  }
  await using world = await startWorld({ pebble: pebbleOptions })
  const names = Array.from({ length: run.names }, (_, index) => `n${index}.renew.test`)
  await addAll(world, names)
  const started = Date.now()
  const watch = watchNames(world.stack.httpsPort, names, 50)
  const trouble = makeTrouble(world.pebble, names, run.lifetimeSeconds)
  const deadlineMs = run.lifetimeSeconds * 1_000 * (run.renewals + 2)
  const fewest = (): number => Math.min(...[...watch.seen.values()].map((set) => set.size - 1))
  try {
    await eventually(async () => fewest() >= run.renewals, 'every name is renewed', deadlineMs)
  } finally {
    await trouble.stop()
    await watch.stop()
  }
  const log = world.pebble.log()
  return {
    handshakes: watch.handshakes,
    failedHandshakes: watch.failed,
    expired: watch.expired,
    fewest: fewest(),
    orders: world.pebble.orderCount(),
    badNonces: log.match(/badNonce/g)?.length ?? 0,
    failedValidations: trouble.failedNames(),
    pauses: trouble.pauses(),
    restarts: trouble.restarts(),
    minutes: Math.round((Date.now() - started) / 6_000) / 10,
  }
}

async function addAll(world: World, names: readonly string[]): Promise<void> {
  const { tenantId, siteId } = await makeSite(world.api, 'Renewals', { 'index.html': 'served' })
  const add = async (offset: number): Promise<void> => {
    for (const name of names.filter((_, index) => index % PARALLEL === offset))
      await world.api.post<HostnameView>('/hostnames', { name, siteId, tenantId, ownership: 'trusted' })
  }
  await Promise.all(Array.from({ length: PARALLEL }, (_, offset) => add(offset)))
  const isAllLive = async (): Promise<boolean> => {
    await sleep(LOOK_MS)
    return (await liveCount(world)) === names.length
  }
  await eventually(isAllLive, 'all are live', 600_000)
}

async function liveCount(world: World): Promise<number> {
  let count = 0
  let next: string | null = ''
  while (next !== null) {
    const page: { items: { live: boolean }[]; nextCursor: string | null } = await world.api.get(
      `/hostnames?limit=200${next}`,
    )
    count += page.items.filter((item) => item.live).length
    next = page.nextCursor === null ? null : `&cursor=${page.nextCursor}`
  }
  return count
}

/** One fault after the other, each shorter than a third of what is left when a renewal is due. */
function makeTrouble(pebble: Pebble, names: readonly string[], lifetimeSeconds: number) {
  const stepMs = (lifetimeSeconds * 1_000) / 16
  const abort = new AbortController()
  const wait = (ms: number): Promise<void> => sleep(ms, undefined, { signal: abort.signal }).catch(() => undefined)
  let [pauses, restarts, failed] = [0, 0, 0]
  const running = (async () => {
    for (let round = 0; !abort.signal.aborted; round += 1) {
      pebble.pause()
      pauses += 1
      await wait(stepMs)
      pebble.resume()
      await wait(stepMs)
      const broken = names.filter((_, index) => index % 20 === round % 20)
      for (const name of broken) await pebble.setServFail(name)
      failed += broken.length
      await wait(stepMs)
      for (const name of broken) await pebble.clearServFail(name)
      await wait(stepMs)
      if (abort.signal.aborted) return
      await pebble.stop()
      await wait(stepMs / 4)
      await pebble.restart()
      restarts += 1
      await wait(stepMs)
    }
  })()
  return {
    pauses: () => pauses,
    restarts: () => restarts,
    failedNames: () => failed,
    async stop() {
      abort.abort()
      await running
    },
  }
}
