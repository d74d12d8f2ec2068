import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ApiClient } from '../server/test/client.ts'
import { descendants, processes } from '../server/test/process-tree.ts'
import { visit } from '../server/test/visit.ts'
import { addHostname, makeSite, startWorld, type World } from '../server/test/world.ts'

/** What one measurement found. Times in milliseconds, CPU in milliseconds per certificate. */
export type Measurement = Readonly<Record<string, number>>

const SINGLE_NAMES = 15
const MANY_NAMES = 300
const TICK_MS = 10

/** CPU time that a process has used, all threads (fields 14 and 15 of /proc/pid/stat, in ticks of 10 ms). */
function cpuMs(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) * TICK_MS
}

function controlPid(world: World): number {
  const parent = world.stack.parents[0]?.pid ?? 0
  return descendants(parent).find((entry) => entry.command.includes('server/control.ts'))?.pid ?? 0
}

function quantile(sorted: readonly number[], share: number): number {
  return Math.round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0)
}

async function untilServed(world: World, serverName: string): Promise<void> {
  const at = { port: world.stack.httpsPort, serverName, ca: world.root }
  while (
    !(await visit(at).then(
      (seen) => seen.status === 200,
      () => false,
    ))
  )
    await sleep(10)
}

/** From the moment that the TXT record stands in DNS and the owner asks for a check, to a verified answer over TLS. */
export async function proofToLive(): Promise<Measurement> {
  await using world = await startWorld()
  const site = await makeSite(world.api, 'Single', { 'index.html': 'served' })
  const times: number[] = []
  for (let index = 0; index < SINGLE_NAMES; index += 1) {
    const name = `single-${index}.test`
    const started = performance.now()
    await addHostname(world, site, name)
    await untilServed(world, name)
    times.push(performance.now() - started)
  }
  const sorted = times.toSorted((a, b) => a - b)
  return {
    names: SINGLE_NAMES,
    medianMs: quantile(sorted, 0.5),
    p90Ms: quantile(sorted, 0.9),
    slowestMs: quantile(sorted, 1),
  }
}

async function liveCount(api: ApiClient): Promise<number> {
  let count = 0
  let next: string | null = ''
  while (next !== null) {
    const page: { items: { live: boolean }[]; nextCursor: string | null } = await api.get(`/hostnames?limit=200${next}`)
    count += page.items.filter((item) => item.live).length
    next = page.nextCursor === null ? null : `&cursor=${page.nextCursor}`
  }
  return count
}

/** 300 names that are proven at once by one TXT record, until the last is live; http-01 at Pebble without sleeps. */
export async function manyNames(): Promise<Measurement> {
  await using world = await startWorld()
  const site = await makeSite(world.api, 'Many', { 'index.html': 'served' })
  for (let index = 0; index < MANY_NAMES; index += 1)
    await world.api.post('/hostnames', { name: `n${index}.many.test`, ...site })
  const pid = controlPid(world)
  const cpuBefore = cpuMs(pid)
  const caPid = processes().find(({ command }) => command.startsWith('pebble -strict'))?.pid ?? 0
  const caBefore = cpuMs(caPid)
  const started = performance.now()
  await addHostname(world, site, 'many.test')
  while ((await liveCount(world.api)) < MANY_NAMES + 1) await sleep(250)
  const totalMs = performance.now() - started
  return {
    names: MANY_NAMES + 1,
    totalMs: Math.round(totalMs),
    perMinute: Math.round(((MANY_NAMES + 1) * 60_000) / totalMs),
    controlCpuMsEach: Math.round((cpuMs(pid) - cpuBefore) / (MANY_NAMES + 1)),
    caCpuMsEach: Math.round((cpuMs(caPid) - caBefore) / (MANY_NAMES + 1)),
  }
}
