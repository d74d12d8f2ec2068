import { mkdtempSync, readdirSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { prepareEdgeFolder } from '../server/listener/edge-folder.ts'
import type { Runtime } from '../server/listener/worker-command.ts'
import { startListenerRig } from '../server/test/listener-rig.ts'
import { freePorts } from '../server/test/ports.ts'
import { benchFolder } from './cleanup.ts'
import { type CpuProfile, selfTimes } from './cpu-profile.ts'
import type { Options } from './options.ts'
import { fillWithScene } from './peers/nameplate.ts'
import type { Server } from './peers/server.ts'
import { CLIENT_CPU, pin, runPinned, SERVER_CPU } from './process.ts'
import type { RoundRow } from './rounds.ts'
import { servingRows } from './rows/serving.ts'
import { type Stage, serverKinds, startStage } from './scenes.ts'

const WARM_SECONDS = 2
const SECONDS = 8
const LINES = 40

/**
 * `--profile ROW`: no comparison, but where the time goes. Each of our runtimes, and nginx to compare with, answers
 * the row while `perf` samples its workers: by library and by function (JavaScript that was compiled at run time has
 * no symbols there). Then once more under the runtime's own profiler, which knows the JavaScript; the start of the
 * worker and the making of its contexts are in that one.
 */
export async function profileRow(name: string, options: Options): Promise<void> {
  const row = servingRows.find((candidate) => candidate.name === name)
  if (row === undefined) throw new Error(`${name} is not measured in rounds: it has no profile`)
  const kinds = serverKinds(options).filter((kind) => kind.name === 'nginx' || kind.name.startsWith('nameplate'))
  await using stage = await startStage(row.scene, kinds)
  for (const problem of stage.problems) console.error(problem)
  for (const server of stage.servers) await sampleWithPerf(row, server).catch((error) => console.error(error.message))
  for (const runtime of options.runtimes) await profileScript(row, runtime, stage)
}

async function sampleWithPerf(row: RoundRow, server: Server): Promise<void> {
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
  console.log(`\n== ${row.title} on ${server.name}, perf ==`)
  for (const sort of ['dso', 'dso,symbol']) {
    const args = ['report', '-i', data, '--stdio', '-q', '--no-children', '--percent-limit', '0.4', '--sort', sort]
    const { stdout } = await runPinned(CLIENT_CPU, 'perf', args)
    const lines = stdout.trim().split('\n').slice(0, LINES)
    console.log(`-- by ${sort}\n${lines.map((line) => `  ${line.trim()}`).join('\n')}`)
  }
}

async function profileScript(row: RoundRow, runtime: Runtime, { scene }: Stage): Promise<void> {
  const dataDir = benchFolder(runtime)
  const profiles = mkdtempSync(join(tmpdir(), 'profiles-'))
  await fillWithScene(prepareEdgeFolder(dataDir, null), scene)
  const [port = 0] = await freePorts(1)
  const rig = await startListenerRig({
    runtime,
    dataDir,
    https: [{ address: '127.0.0.1', port }],
    outboundAllow: ['127.0.0.0/8'],
    runtimeFlags: ['--cpu-prof', `--cpu-prof-dir=${profiles}`],
  })
  const pids = rig.pids()
  for (const pid of pids) await pin(pid, SERVER_CPU)
  const server = { name: `nameplate-${runtime}`, port, pids, workers: pids } as const
  await (await row.client(server, SECONDS)).run()
  // It writes its profile when it ends.
  await rig.close()
  const [file] = readdirSync(profiles)
  if (file === undefined) throw new Error(`${runtime} wrote no profile`)
  const times = selfTimes(JSON.parse(readFileSync(join(profiles, file), 'utf8')) as CpuProfile)
  const lines = times.slice(0, LINES).map(({ where, share }) => `  ${(share * 100).toFixed(1).padStart(5)} %  ${where}`)
  console.log(`\n== ${row.title} on ${runtime}, its own profiler: functions by their own time ==\n${lines.join('\n')}`)
}
