import type { Logger } from '../process/log.ts'
import { OperatorError } from '../process/operator-error.ts'
import type { Settings } from '../process/settings.ts'
import type { WorkerAccount } from './edge-folder.ts'
import { selfTest } from './self-test.ts'
import { type Runtime, type WorkerLaunch, workerLaunch } from './worker-command.ts'

/** No runtime is fit to serve here. `message` is one line with the reasons. */
export class RuntimeError extends OperatorError {
  override name = 'RuntimeError'
}

/** In the order of preference, by what was asked for. */
const candidates: Record<Settings['listenerRuntime'], readonly Runtime[]> = {
  auto: ['bun', 'node'],
  bun: ['bun'],
  node: ['node'],
}

/**
 * The first runtime whose self-test passes on this machine, as this account. `auto` falls back from
 * Bun to Node with one warning. `launchOf` is how they are started. Throws `RuntimeError` when none is left.
 */
export async function chooseRuntime(
  wanted: Settings['listenerRuntime'],
  account: WorkerAccount | null,
  log: Logger,
  launchOf = workerLaunch,
): Promise<WorkerLaunch> {
  const reasons: string[] = []
  for (const runtime of candidates[wanted]) {
    const problem = await problemOf(launchOf(runtime, account), account, log)
    if (typeof problem !== 'string') return problem
    reasons.push(`${runtime}: ${problem}`)
    if (runtime !== candidates[wanted].at(-1)) log.warn({ reason: problem }, `workers do not run on ${runtime} here`)
  }
  const as = account === null ? '' : ` as ${account.user} (who must be able to read the program's folder)`
  throw new RuntimeError(`no worker can run here${as}: ${reasons.join('; ')}`)
}

async function problemOf(
  launch: WorkerLaunch | null,
  account: WorkerAccount | null,
  log: Logger,
): Promise<WorkerLaunch | string> {
  if (launch === null) return 'it is not installed'
  try {
    await selfTest(launch, account, log)
    return launch
  } catch (error) {
    return (error as Error).message
  }
}
