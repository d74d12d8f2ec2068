import { startLink } from './listener/link-client.ts'
import { startReportLink } from './listener/observe/report-link.ts'
import { startSupervisor } from './listener/supervisor.ts'
import type { Bind } from './listener/worker-messages.ts'
import { linkSocketPath } from './process/link-path.ts'
import { takeLock } from './process/lock.ts'
import { createLog } from './process/log.ts'
import { complaintOf } from './process/operator-error.ts'
import { readSettings, type Settings } from './process/settings.ts'
import type { ListenerReady } from './process/start.ts'
import { stopRequest } from './process/stop-request.ts'
import { ownVersion } from './process/version.ts'

/**
 * Entry of the data plane: a supervisor of workers that serve what the edge's own disk holds. Whether
 * a control plane runs makes no difference to visitors.
 */
try {
  await main(readSettings(process.env))
} catch (error) {
  process.stderr.write(`nameplate listener: ${complaintOf(error)}\n`)
  process.exit(1)
}

async function main(settings: Settings): Promise<void> {
  const log = createLog('listener', settings.logLevel)
  const unlock = takeLock(settings.dataDir, 'listener')
  const stopping = stopRequest()
  const socketPath = linkSocketPath(settings)
  const supervisor = await startSupervisor(settings, log)
  const { edge, store, pool } = supervisor
  let link: ReturnType<typeof startLink> | null = null
  const { observation } = supervisor
  const reports = startReportLink({ socketPath, identity: edge.identity, observation, log })

  stopping.then(async () => {
    await link?.close()
    await reports.close()
    await supervisor.stop()
    unlock()
    process.exit(0)
  })
  process.send?.(readyMessage(supervisor.https, supervisor.http, pool.status()))
  const isStopping = await Promise.race([supervisor.alone.then(() => false), stopping.then(() => true)])
  if (isStopping) return
  const blobsFolder = edge.blobs
  const httpsPort = supervisor.https[0]?.port ?? 443
  link = startLink({
    httpsPort,
    socketPath,
    identity: edge.identity,
    store,
    blobsFolder,
    pool,
    log,
    version: ownVersion(),
  })
}

function readyMessage(
  https: readonly Bind[],
  http: readonly Bind[],
  status: { runtime: string; workers: number },
): ListenerReady {
  const { runtime, workers } = status
  return { type: 'ready', https: https.map(shown), http: http.map(shown), runtime, workers }
}

function shown({ address, port }: Bind): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`
}
