import { join } from 'node:path'
import { type Runtime, workerLaunch } from '../listener/worker-command.ts'
import { createTestAuthority } from './certificates.ts'
import { run } from './visit.ts'

/** Builds contexts of that many sites over a small cache in a process of its own; by how many MB it grew after a fifth of them. */
export async function growthByBuilds(runtime: Runtime, builds: number, timeoutMs?: number): Promise<number> {
  const launch = workerLaunch(runtime, null)
  if (launch === null) throw new Error(`${runtime} is not installed`)
  const { privateKeyPem, chainPem } = await (await createTestAuthority()).issue(['memory.example'])
  const child = join(import.meta.dirname, 'context-builds-child.ts')
  const args = [...launch.args.slice(0, -1), child, String(builds), privateKeyPem, chainPem]
  const { stdout, stderr } = await run(launch.command, args, '', timeoutMs)
  if (!/^-?\d+\n$/.test(stdout)) throw new Error(`it did not come to its end: ${stderr}`)
  return Number(stdout)
}
