import { performance } from 'node:perf_hooks'
import type { Runtime } from '../../server/listener/worker-command.ts'
import { type ListenerRig, startListenerRig } from '../../server/test/listener-rig.ts'
import { freePorts } from '../../server/test/ports.ts'
import { type BigEdge, makeBigEdge } from '../big-edge.ts'
import { handshakeClient } from '../clients/handshakes.ts'
import { pin, SERVER_CPU } from '../process.ts'
import type { Figures } from '../report.ts'
import { memoryOf } from '../usage.ts'
import type { MeasuredRow } from './figure-row.ts'

const HOT_SITES = 5_000
const STARTS = 5

/** One worker on a big edge store, on the servers' processor. */
async function startWorker(runtime: Runtime, edge: BigEdge, port: number): Promise<ListenerRig> {
  const rig = await startListenerRig({ runtime, dataDir: edge.dataDir, https: [{ address: '127.0.0.1', port }] })
  for (const pid of rig.pids()) await pin(pid, SERVER_CPU)
  return rig
}

/** From before the worker's process is made to the end of its first answer, in ms. The client waits ready. */
async function firstAnswer(runtime: Runtime, edge: BigEdge): Promise<{ ms: number; rssMb: number }> {
  const [port = 0] = await freePorts(1)
  const first = Math.floor(edge.sites * 0.77)
  const client = await handshakeClient({ port, first, names: 1, count: 1, sequential: true, seconds: 30 })
  const started = performance.now()
  await using rig = await startWorker(runtime, edge, port)
  const { failed, note } = await client.run()
  const ms = Math.round(performance.now() - started)
  if (failed > 0) throw new Error(`the first visitor was not answered: ${note}`)
  return { ms, rssMb: memoryOf(rig.pids()).rssMb }
}

async function starts(runtime: Runtime, edge: BigEdge): Promise<Figures[string]> {
  const seen: { ms: number; rssMb: number }[] = []
  for (let index = 0; index < STARTS; index += 1) seen.push(await firstAnswer(runtime, edge))
  const sorted = seen.map(({ ms }) => ms).toSorted((a, b) => a - b)
  return {
    starts: STARTS,
    medianFirstAnswerMs: sorted[Math.floor(STARTS / 2)] ?? 0,
    slowestFirstAnswerMs: sorted.at(-1) ?? 0,
    rssMb: Math.max(...seen.map(({ rssMb }) => rssMb)),
  }
}

async function heated(runtime: Runtime, edge: BigEdge): Promise<Figures[string]> {
  const [port = 0] = await freePorts(1)
  await using rig = await startWorker(runtime, edge, port)
  const hotSites = Math.min(HOT_SITES, edge.sites)
  await visitRange(port, 0, hotSites)
  // Once more, with everything hot.
  await visitRange(port, 0, hotSites)
  return { hotSites, ...memoryOf(rig.pids()) }
}

/** One visit to each of the names from `first` on. */
async function visitRange(port: number, first: number, names: number): Promise<void> {
  const client = await handshakeClient({ port, first, names, count: names, sequential: true, seconds: 1_200 })
  const { operations, failed, note } = await client.run()
  if (failed > 0) throw new Error(`${failed} of ${operations + failed} names were not answered: ${note}`)
}

/** A worker with 100,000 and one with 1,000,000 names: its first answer, and its memory, with 5,000 hot sites too. */
export const ownScale: MeasuredRow = {
  name: 'own-scale',
  title: 'our worker with many names, and with ten times as many',
  async measure(options) {
    const figures: Record<string, Figures[string]> = {}
    for (const sites of [options.sites, options.sites * 10]) {
      const edge = await makeBigEdge(sites)
      for (const runtime of options.runtimes) {
        const label = `${runtime}, ${sites.toLocaleString('en-GB')} names`
        figures[label] = await starts(runtime, edge)
        if (sites === options.sites) figures[`${label}, hot`] = await heated(runtime, edge)
      }
      edge.remove()
    }
    return figures
  },
}

/** Whether memory stays where it is while all sites are visited one after the other: each visit builds a context. */
export const contextBuilds: MeasuredRow = {
  name: 'contexts',
  title: 'memory while a context is built for each of many names, and let go',
  async measure({ runtimes, sites }) {
    const edge = await makeBigEdge(sites)
    const figures: Record<string, Figures[string]> = {}
    for (const runtime of runtimes) figures[runtime] = await buildAll(runtime, edge)
    edge.remove()
    return figures
  },
}

async function buildAll(runtime: Runtime, edge: BigEdge): Promise<Figures[string]> {
  const [port = 0] = await freePorts(1)
  await using rig = await startWorker(runtime, edge, port)
  const figures: Record<string, number> = {}
  const step = Math.ceil(edge.sites / 5)
  for (let built = 0; built < edge.sites; built += step) {
    await visitRange(port, built, Math.min(step, edge.sites - built))
    figures[`rssMbAfter${built + step}`] = memoryOf(rig.pids()).rssMb
  }
  return figures
}
