import { availableParallelism } from 'node:os'
import type { Logger } from '../process/log.ts'
import { type Settings, SettingsError } from '../process/settings.ts'
import { chooseRuntime } from './choose-runtime.ts'
import { type EdgeFolder, findAccount, prepareEdgeFolder, type WorkerAccount } from './edge-folder.ts'
import { type EdgeStore, openEdgeStore } from './edge-store.ts'
import { claimGeneration, takeOver } from './generation.ts'
import { type Observation, startObservation } from './observe/observation.ts'
import { findOrphans, type Orphans, trackWorkers } from './orphans.ts'
import { permitMigration, resolvePorts } from './ports.ts'
import type { Bind, StartMessage } from './worker-messages.ts'
import { startWorkerPool, type WorkerPool, type WorkerPoolOptions } from './worker-pool.ts'

/** Workers of a killed supervisor let their connections finish for 10 s. */
const ORPHANS_MS = 12_000

/** A data plane that serves what its disk holds, with or without a control plane. */
export type Supervisor = {
  readonly edge: EdgeFolder
  readonly store: EdgeStore
  readonly pool: WorkerPool
  readonly observation: Observation
  readonly https: readonly Bind[]
  readonly http: readonly Bind[]
  /**
   * Resolves when no worker of a killed predecessor is left. Apply no change before: those workers
   * would not hear of it.
   */
  readonly alone: Promise<void>
  /** Lets connections finish, ends the workers and closes the store. */
  stop(): Promise<void>
}

/**
 * Starts the data plane of this machine from its own disk. Throws `SettingsError`, `PortError`,
 * `RuntimeError` or `WorkerStartError`, each with one line; then nothing of it is left running.
 */
export async function startSupervisor(settings: Settings, log: Logger): Promise<Supervisor> {
  const account = workerAccount(settings, log)
  const edge = prepareEdgeFolder(settings.dataDir, account)
  const store = openEdgeStore(edge.path, (detail) =>
    log.error({ detail }, 'the records were damaged; asking for all anew'),
  )
  const observation = startObservation({ dataDir: settings.dataDir, store, log })
  try {
    permitMigration(log)
    const orphans = findOrphans(edge.path)
    const [launch, [https = [], http = []]] = await Promise.all([
      chooseRuntime(settings.listenerRuntime, account, log),
      resolvePorts(wishesOf(settings), orphans),
    ])
    const generation = claimGeneration(edge.path)
    const options = {
      launch,
      count: settings.workers ?? availableParallelism(),
      message: startMessage(edge, settings, generation, https, http),
      log,
      intake: observation.intake,
      onWorkers: (pids: readonly number[]) => trackWorkers(edge.path, pids, [...https, ...http], orphans),
    }
    const pool = await startBesideOrphans(options, orphans)
    takeOver(edge.path, generation)
    const stop = async (): Promise<void> => {
      await pool.drain()
      await observation.close()
      store.close()
    }
    return { edge, store, pool, observation, https, http, alone: orphans.gone(ORPHANS_MS).then(() => undefined), stop }
  } catch (error) {
    await observation.close()
    store.close()
    throw error
  }
}

/**
 * Orphans share their ports only with workers of the same user. After a change of `NAMEPLATE_USER`
 * they have to go first.
 */
async function startBesideOrphans(options: WorkerPoolOptions, orphans: Orphans): Promise<WorkerPool> {
  try {
    return await startWorkerPool(options)
  } catch (error) {
    if (orphans.left().workers.length === 0) throw error
    options.log.warn({ err: error }, 'workers of a killed supervisor are in the way; ending them first')
    orphans.end()
    await orphans.gone(ORPHANS_MS)
    return startWorkerPool(options)
  }
}

function workerAccount(settings: Settings, log: Logger): WorkerAccount | null {
  if (process.geteuid?.() !== 0) return null
  if (settings.user === null) {
    log.warn('workers run as root; set NAMEPLATE_USER to an account of their own')
    return null
  }
  const account = findAccount(settings.user)
  if (account === null) throw new SettingsError(`NAMEPLATE_USER: there is no user "${settings.user}" on this machine`)
  return account
}

function wishesOf(settings: Settings) {
  return [
    { listen: settings.httpsListen, port: 443, fallback: 8443, setting: 'NAMEPLATE_HTTPS_LISTEN' },
    { listen: settings.httpListen, port: 80, fallback: 8080, setting: 'NAMEPLATE_HTTP_LISTEN' },
  ]
}

function startMessage(
  edge: EdgeFolder,
  settings: Settings,
  generation: number,
  https: readonly Bind[],
  http: readonly Bind[],
): StartMessage {
  const { publicKey, privateKey } = edge.identity.keyPair
  return {
    type: 'start',
    edgeFolder: edge.path,
    blobsFolder: edge.blobs,
    publicKey: publicKey.toString('base64'),
    privateKey: privateKey.toString('base64'),
    generation,
    https,
    http,
    outboundAllow: settings.outboundAllow,
    proxyProtocolFrom: settings.proxyProtocolFrom,
    logLevel: settings.logLevel,
  }
}
