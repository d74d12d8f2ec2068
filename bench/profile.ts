import { join } from 'node:path'
import { benchFolder } from './cleanup.ts'
import type { Options } from './options.ts'
import type { Server } from './peers/server.ts'
import { CLIENT_CPU, runPinned } from './process.ts'
import type { RoundRow } from './rounds.ts'
import { servingRows } from './rows/serving.ts'
import { serverKinds, startStage } from './scenes.ts'

const WARM_SECONDS = 10
const SECONDS = 8
const LINES = 45

/**
 * `--profile ROW`: no comparison. Each of our runtimes, and then nginx to compare with, answers the row for some
 * seconds while `perf` samples its processes; the libraries and functions that took most are printed. JavaScript
 * that was compiled at run time has no symbols: it is what stands under the worker's own program as bare addresses.
 */
export async function profileRow(name: string, options: Options): Promise<void> {
  const row = servingRows.find((candidate) => candidate.name === name)
  if (row === undefined) throw new Error(`${name} is not measured in rounds: it has no profile`)
  const kinds = serverKinds(options).filter((kind) => kind.name === 'nginx' || kind.name.startsWith('nameplate'))
  await using stage = await startStage(row.scene, kinds)
  for (const problem of stage.problems) console.error(problem)
  for (const server of stage.servers) await profileOne(row, server)
}

async function profileOne(row: RoundRow, server: Server): Promise<void> {
  const data = join(benchFolder('perf'), 'perf.data')
  await (await row.client(server, WARM_SECONDS)).run()
  const client = await row.client(server, SECONDS)
  const sampling = runPinned(
    CLIENT_CPU,
    'perf',
    // The clock of the processor, since virtual machines rarely lend their counters.
    ['record', '-q', '-e', 'cpu-clock', '-F', '1999', '-o', data, '-p', server.workers.join(), '--', 'sleep', '6'],
    60_000,
  )
  await Promise.all([client.run(), sampling])
  console.log(`\n== ${row.title} on ${server.name} ==`)
  for (const sort of ['dso', 'dso,symbol']) {
    const args = ['report', '-i', data, '--stdio', '-q', '--no-children', '--percent-limit', '0.4', '--sort', sort]
    const { stdout } = await runPinned(CLIENT_CPU, 'perf', args)
    console.log(`-- by ${sort}\n${stdout.trim().split('\n').slice(0, LINES).join('\n')}`)
  }
}
