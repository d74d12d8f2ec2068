import { performance } from 'node:perf_hooks'
import { handshakeClient } from '../clients/handshakes.ts'
import type { ServerKind } from '../peers/server.ts'
import type { Figures } from '../report.ts'
import { makeScene, type Scene } from '../scene.ts'
import { serverKinds } from '../scenes.ts'
import { cpuSeconds, memoryOf } from '../usage.ts'
import type { MeasuredRow } from './figure-row.ts'

/** nginx with 100,000 names needs three minutes to load. */
const START_LIMIT_MS = 15 * 60_000

/** What each server needs until it answers the first visitor, and in memory, by number of names. */
export const peersScale: MeasuredRow = {
  name: 'scale',
  title: 'start and memory by number of names, every server',
  async measure({ scale, runtimes, sites }, note) {
    const figures: Record<string, Figures[string]> = {}
    const steps = scale === 'full' ? [1_000, 10_000, 100_000] : [1_000, 10_000]
    for (const names of steps.filter((step) => step <= sites)) {
      const scene = await makeScene({
        names,
        keyType: 'ecdsa',
        accessLog: false,
        upstreamPort: null,
        hasLargeFile: false,
      })
      for (const kind of serverKinds({ runtimes })) {
        const label = `${kind.name}, ${names.toLocaleString('en-GB')} names`
        try {
          figures[label] = await measureOne(kind, scene)
        } catch (error) {
          note(`${label}: ${(error as Error).message}`)
        }
      }
      scene.remove()
    }
    return figures
  },
}

async function measureOne(kind: ServerKind, scene: Scene): Promise<Figures[string]> {
  const server = await kind.start(scene, { limitMs: START_LIMIT_MS })
  try {
    await visit(server.port, { first: scene.names - 1, count: 1 })
    const startMs = Math.round(performance.now() - server.startedAt)
    const startCpuMs = Math.round(cpuSeconds(server.pids) * 1_000)
    const first = memoryOf(server.pids)
    await visit(server.port, { first: 0, count: scene.names })
    const all = memoryOf(server.pids)
    const workers = memoryOf(server.workers)
    return { startMs, startCpuMs, pssMb: first.pssMb, visitedPssMb: all.pssMb, visitedWorkerPssMb: workers.pssMb }
  } finally {
    await server.stop()
  }
}

/** One visit to each of `count` names. Throws when one was not answered. */
async function visit(port: number, { first, count }: { first: number; count: number }): Promise<void> {
  const client = await handshakeClient({ port, first, names: count, count, sequential: true, seconds: 600 })
  const { operations, failed, note } = await client.run()
  if (failed > 0) throw new Error(`${failed} of ${operations + failed} names were not answered: ${note}`)
}
