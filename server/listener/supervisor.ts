import { availableParallelism } from 'node:os'
import { faultPoint } from '../process/fault-point.ts'
import type { Logger } from '../process/log.ts'
import { type Settings, SettingsError } from '../process/settings.ts'
import { chooseRuntime } from './choose-runtime.ts'
import { type EdgeFolder, findAccount, prepareEdgeFolder, type WorkerAccount } from './edge-folder.ts'
import { openEdgeReader } from './edge-store.ts'
import { claimGeneration, takeOver } from './generation.ts'
import type { ProofCertificate } from './isolation-proof.ts'
import { type Observation, startObservation } from './observe/observation.ts'
import { findOrphans, type Orphans, trackWorkers } from './orphans.ts'
import { permitMigration, resolvePorts } from './ports.ts'
import { makeThrowawayCertificate } from './throwaway-certificate.ts'
import type { WorkerLaunch } from './worker-command.ts'
import type { Bind, StartMessage } from './worker-messages.ts'
import { startWorkerPool, type WorkerPool, type WorkerPoolOptions } from './worker-pool.ts'

/** Workers of a killed supervisor let their connections finish for 10 s. */
const ORPHANS_MS = 12_000

/** What can be found out before the ports are touched. */
export type Prepared = {
  readonly edge: EdgeFolder
  readonly launch: WorkerLaunch
  readonly proofCertificate: ProofCertificate
}

/** The workers of this machine, and what is needed to hand them over. They serve with or without a control plane. */
export type Supervisor = {
  readonly pool: WorkerPool
  readonly observation: Observation
  readonly https: readonly Bind[]
  readonly http: readonly Bind[]
  /** Resolves when no worker of a predecessor is left, after 12 s at most. */
  alone(): Promise<void>
  /** After a successor that has failed: its workers let their connections finish and end, after 12 s at the latest. */
  endStrangers(): Promise<void>
  /** Writes down again that our workers have the ports. */
  reclaim(): void
  /** Lets connections finish, at most 12 s, and ends the workers. */
  stop(): Promise<void>
}

/** How a supervisor starts. */
export type SupervisorOptions = {
  readonly settings: Settings
  readonly log: Logger
  /** Beside a running one, whose workers are not in the way and are never ended for it. */
  readonly isReplacement: boolean
  /** Whether this process may write into the edge's folder. */
  readonly mayWrite: () => boolean
}

/**
 * Makes the edge's folder and chooses a runtime whose self-test passes. Throws `SettingsError` or
 * `RuntimeError`.
 */
export async function prepareSupervisor(settings: Settings, log: Logger): Promise<Prepared> {
  const account = workerAccount(settings, log)
  const edge = prepareEdgeFolder(settings.dataDir, account)
  const [launch, proofCertificate] = await Promise.all([
    chooseRuntime(settings.listenerRuntime, account, log),
    makeThrowawayCertificate(['proof.invalid']),
  ])
  return { edge, launch, proofCertificate }
}

/**
 * Starts the workers and takes over from those of any predecessor. The store has to exist. Throws
 * `PortError` or `WorkerStartError`, each with one line; then nothing of it is left running.
 */
export async function startSupervisor(prepared: Prepared, options: SupervisorOptions): Promise<Supervisor> {
  const { settings, log, isReplacement } = options
  const { edge, launch } = prepared
  // The store is handed over before the last line of the workers has come.
  const reader = openEdgeReader(edge.path)
  const observation = startObservation({ dataDir: settings.dataDir, store: reader, log })
  const close = async (): Promise<void> => {
    await observation.close()
    reader.close()
  }
  try {
    permitMigration(log)
    const orphans = findOrphans(edge.path)
    const [https = [], http = []] = await resolvePorts(wishesOf(settings), orphans)
    const generation = claimGeneration(edge.path)
    let pids: readonly number[] = []
    const track = (): void => {
      try {
        if (options.mayWrite()) trackWorkers(edge.path, pids, [...https, ...http], orphans)
      } catch (err) {
        // On a full disk, say. Only the successor of a killed supervisor would miss it.
        log.error({ err }, 'who the workers are cannot be written down; serving goes on')
      }
    }
    const poolOptions: WorkerPoolOptions = {
      launch,
      count: settings.workers ?? availableParallelism(),
      message: startMessage(prepared, settings, generation, https, http),
      log,
      intake: observation.intake,
      onWorkers(now) {
        pids = now
        track()
      },
    }
    const pool = await (isReplacement ? startWorkerPool(poolOptions) : startBesideOrphans(poolOptions, orphans))
    if (isReplacement) faultPoint('upgrade.listening')
    takeOver(edge.path, generation)
    if (isReplacement) faultPoint('upgrade.taken')
    return {
      pool,
      observation,
      https,
      http,
      alone: () => orphans.gone(ORPHANS_MS).then(() => undefined),
      endStrangers: () => endAll(findOrphans(edge.path, pids)),
      reclaim() {
        takeOver(edge.path, generation)
        track()
      },
      async stop() {
        await pool.drain()
        await close()
      },
    }
  } catch (error) {
    await close()
    throw error
  }
}

async function endAll(workers: Orphans): Promise<void> {
  workers.end()
  if (await workers.gone(ORPHANS_MS)) return
  workers.end('SIGKILL')
  await workers.gone(ORPHANS_MS)
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
  { edge, proofCertificate }: Prepared,
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
    proofCertificate,
  }
}
