import { openEdgeStore, openSoundEdgeStore } from './listener/edge-store.ts'
import { askPredecessor, awaitSuccessor } from './listener/handover.ts'
import { endDamaged, startLink } from './listener/link-client.ts'
import { startReportLink } from './listener/observe/report-link.ts'
import { startStatusServer } from './listener/observe/status-page.ts'
import { startTailLink } from './listener/observe/tail-link.ts'
import { startStoreCopies } from './listener/store-copies.ts'
import { type Prepared, prepareSupervisor, type Supervisor, startSupervisor } from './listener/supervisor.ts'
import { withPredecessor } from './listener/with-predecessor.ts'
import type { Bind } from './listener/worker-messages.ts'
import { createWriterRole, type WriterParts, type WriterRole } from './listener/writer-role.ts'
import { REPLACE_ARGUMENT } from './process/child.ts'
import { faultPoint } from './process/fault-point.ts'
import { linkSocketPath } from './process/link-path.ts'
import { takeLock } from './process/lock.ts'
import { createLog, type Logger } from './process/log.ts'
import { complaintOf } from './process/operator-error.ts'
import { readSettings, type Settings } from './process/settings.ts'
import type { ListenerReady } from './process/start.ts'
import { stopRequest } from './process/stop-request.ts'
import { ownVersion } from './process/version.ts'

/**
 * Entry of the data plane: a supervisor of workers that serve what the edge's own disk holds. Whether
 * a control plane runs makes no difference to visitors. With `--replace` it takes over from the one
 * that runs on this data directory, and refuses nobody.
 */
try {
  const settings = readSettings(process.env)
  const log = createLog('listener', settings.logLevel)
  await (process.argv.includes(REPLACE_ARGUMENT) ? replace(settings, log) : start(settings, log))
} catch (error) {
  process.stderr.write(`nameplate listener: ${complaintOf(error)}\n`)
  await tellParent({ type: 'failed', message: (error as Error).message })
  process.exit(1)
}

/** From cold, or after a crash: workers that were left behind serve until ours do. */
async function start(settings: Settings, log: Logger): Promise<void> {
  const unlock = takeLock(settings.dataDir, 'listener')
  const stopping = stopRequest()
  const prepared = await prepareSupervisor(settings, log)
  const parts = writerParts(settings, log, prepared, () => supervisor)
  const role = createWriterRole(parts, unlock, parts.openStore())
  const mayWrite = (): boolean => role.isHeld
  const supervisor = await startSupervisor(prepared, { settings, log, isReplacement: false, mayWrite })
  // Workers that were left behind hear of no change: neither we nor a successor may apply one before they have ended.
  const letGo = async (): Promise<void> => {
    await supervisor.alone()
    await role.letGo()
  }
  await runOrStop({ settings, log, role, supervisor, stopping, letGo })
  await Promise.race([supervisor.alone(), stopping])
  role.begin()
}

/** Beside a running one: everything that can fail without it is done before it is asked to let go. */
async function replace(settings: Settings, log: Logger): Promise<void> {
  const stopping = stopRequest()
  const prepared = await prepareSupervisor(settings, log)
  const predecessor = await askPredecessor(settings.dataDir)
  faultPoint('upgrade.asked')
  const unlock = takeLock(settings.dataDir, 'listener')
  const parts = writerParts(settings, log, prepared, () => supervisor)
  const role = createWriterRole(parts, unlock, openSoundEdgeStore(prepared.edge.path))
  const mayWrite = (): boolean => role.isHeld
  const own = await startSupervisor(prepared, { settings, log, isReplacement: true, mayWrite })
  const supervisor = withPredecessor(own, predecessor)
  await predecessor
    .taken()
    .catch((err: unknown) => log.warn({ err }, 'the predecessor has ended before it was told to'))
  await runOrStop({ settings, log, role, supervisor, stopping, letGo: () => role.letGo() })
  role.begin()
}

/** What a data plane is made of, once its workers serve. */
type Parts = {
  readonly settings: Settings
  readonly log: Logger
  readonly role: WriterRole
  readonly supervisor: Supervisor
  readonly stopping: Promise<void>
  /** For a successor: resolves when it may write. */
  readonly letGo: () => Promise<void>
}

/** Leaves no workers behind that nobody supervises. */
async function runOrStop(parts: Parts): Promise<void> {
  try {
    await run(parts)
  } catch (error) {
    await parts.supervisor.stop()
    throw error
  }
}

/** The workers serve: stops when asked, is replaced when asked, and says that it runs. */
async function run({ settings, log, role, supervisor, stopping, letGo }: Parts): Promise<void> {
  const end = async (): Promise<void> => {
    await role.letGo().catch((err: unknown) => log.error({ err }, 'the records could not be closed'))
    await supervisor.stop()
    process.exit(0)
  }
  const takeBack = async (): Promise<void> => {
    log.warn('a successor did not take over; going on')
    try {
      await supervisor.endStrangers()
      await role.takeBack()
      supervisor.reclaim()
    } catch (error) {
      log.fatal({ err: error }, 'the records cannot be taken back; starting anew')
      process.exit(1)
    }
  }
  void stopping.then(end)
  process.on('message', (message: { type?: string }) => void obey(message, supervisor))
  const { invalidate } = supervisor.pool
  await awaitSuccessor(settings.dataDir, { letGo, takeBack, retire: () => void end(), invalidate }, log)
  await tellParent(readyMessage(supervisor))
}

function writerParts(settings: Settings, log: Logger, { edge }: Prepared, served: () => Supervisor): WriterParts {
  return {
    dataDir: settings.dataDir,
    openStore: () =>
      openEdgeStore(edge.path, (detail) => log.error({ detail }, 'the records were damaged; asking for all anew')),
    startLink(store) {
      const supervisor = served()
      const { pool, https, observation } = supervisor
      const socketPath = linkSocketPath(settings)
      const reports = startReportLink({ socketPath, identity: edge.identity, observation, log })
      const tails = startTailLink({ socketPath, identity: edge.identity, tail: observation.tail, log })
      const link = startLink({
        httpsPort: https[0]?.port ?? 443,
        socketPath,
        identity: edge.identity,
        store,
        blobsFolder: edge.blobs,
        pool,
        log,
        version: ownVersion(),
      })
      const copies = startStoreCopies({
        folder: edge.path,
        store,
        log,
        onDamage: (error) => endDamaged({ store, log }, error),
      })
      pool.onDiskFaults({ onStore: copies.suspect })
      const isConnected = (): boolean => link.isConnected
      const source = { ...supervisor, members: pool.members, edgeId: edge.identity.edgeId }
      const pages = startStatusServer({ settings, supervisor: source, store, isConnected, version: ownVersion(), log })
      return {
        async close() {
          const ends = await Promise.allSettled([
            pages.close(),
            link.close(),
            reports.close(),
            tails.close(),
            copies.close(),
          ])
          for (const one of ends) if (one.status === 'rejected') throw one.reason
        },
      }
    },
  }
}

function readyMessage({ https, http, pool }: Supervisor): ListenerReady {
  const { runtime, workers } = pool.status()
  return { type: 'ready', https: https.map(shown), http: http.map(shown), runtime, workers, version: ownVersion() }
}

function shown({ address, port }: Bind): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`
}

/** What the parent asks of a running listener. */
async function obey(message: { type?: string }, { pool }: Supervisor): Promise<void> {
  if (message.type !== 'replace-workers') return
  await pool.replaceAll().then(
    () => tellParent({ type: 'done' }),
    (error: Error) => tellParent({ type: 'failed', message: error.message }),
  )
}

/** Resolves when it is on its way, or when there is no parent. */
function tellParent(message: object): Promise<void> {
  return new Promise((resolve) => {
    if (process.send === undefined || !process.connected) resolve()
    else process.send(message, undefined, undefined, () => resolve())
  })
}
