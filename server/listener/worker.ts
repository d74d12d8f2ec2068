import { existsSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { createReach } from '../contract/reach.ts'
import { addressMatcher } from './admission.ts'
import { createContexts } from './contexts.ts'
import { createDeadlines } from './deadlines.ts'
import { descriptorLimit, hasDescriptors } from './descriptors.ts'
import { drainWorker } from './drain.ts'
import { isDamage, openEdgeReader } from './edge-store.ts'
import { createFrontDoor } from './front-door.ts'
import { takenGeneration } from './generation.ts'
import { createHttpServers } from './http/servers.ts'
import { contextsOfTwoSites, proveIsolation } from './isolation-proof.ts'
import { createDelayMeter } from './observe/delay-meter.ts'
import { createHandshakeCounts } from './observe/handshake-counts.ts'
import { createObserver } from './observe/observer.ts'
import { createReportPipe } from './observe/report-pipe.ts'
import { createOwnAddresses } from './own-addresses.ts'
import { createPanelHop } from './panel-hop.ts'
import { acceptsWithoutDelay, runtimeLabel } from './runtime.ts'
import { setWorkerLogLevel, workerLog } from './worker-log.ts'
import { type Bind, lineReader, type StartMessage, type WorkerCommand, type WorkerReport } from './worker-messages.ts'

/** Entry of a worker: it reads its start message and commands on standard input, and reports on standard output. */

/** More connections than this are not held by one worker, whatever the limit of descriptors is. */
const MAX_CONNECTIONS = 50_000
/** Descriptors that are no connections: listeners, records, blobs. */
const RESERVED_DESCRIPTORS = 200
/** Of the others this share may be connections; upstreams of proxied requests have the rest. */
const CONNECTION_SHARE = 0.8
const BACKLOG = 4_096
const STATUS_EVERY_MS = 1_000
/** How often a worker whose supervisor was killed looks whether a successor has taken over. */
const SUCCESSOR_CHECK_MS = 250

type Worker = { invalidate(keys: Parameters<ReturnType<typeof createContexts>['invalidate']>[0]): void; drain(): void }

let worker: Worker | null = null
let start: StartMessage | null = null
let damageToldAtMs = Number.NEGATIVE_INFINITY

process.on('uncaughtException', (error) =>
  workerLog('error', 'uncaught exception', { err: String(error?.stack ?? error) }),
)
process.on('unhandledRejection', (error) => workerLog('error', 'unhandled rejection', { err: String(error) }))
process.on('SIGTERM', () => (worker === null ? process.exit(0) : worker.drain()))
// Without a listener it would end Bun, and open an inspector in Node.
process.on('SIGUSR1', () => undefined)
process.stdout.on('error', () => undefined)
process.stdin.on('error', () => undefined)
process.stdin.on(
  'data',
  lineReader((line) => obey(JSON.parse(line) as WorkerCommand)),
)
process.stdin.on('end', watchForSuccessor)

function obey(command: WorkerCommand): void {
  if (command.type === 'start') {
    start = command
    setWorkerLogLevel(command.logLevel)
    run(command).then(() => report({ type: 'listening', runtime: runtimeLabel }), fail)
  } else if (command.type === 'invalidate') {
    worker?.invalidate(command.keys)
    report({ type: 'done', id: command.id })
  } else if (worker === null) {
    process.exit(0)
  } else {
    worker.drain()
  }
}

function report(message: WorkerReport): void {
  process.stdout.write(`${JSON.stringify(message)}\n`)
}

/** The supervisor looks and ends us; until then what is in memory is served. */
function tellDamage(): void {
  const nowMs = performance.now()
  if (nowMs - damageToldAtMs < STATUS_EVERY_MS) return
  damageToldAtMs = nowMs
  report({ type: 'store-damage' })
}

function fail(error: Error): void {
  process.stdout.write(`${JSON.stringify({ type: 'failed', message: error.message })}\n`, () => process.exit(1))
}

/**
 * The supervisor is gone: go on serving until the workers of another one have the ports, or none can
 * come. One that was killed before it had taken over leaves the ports to those before it.
 */
function watchForSuccessor(): void {
  if (start === null) process.exit(0)
  const { edgeFolder, generation } = start
  const timer = setInterval(look, SUCCESSOR_CHECK_MS)
  look()
  function look(): void {
    const isGone = !existsSync(edgeFolder)
    const taken = takenGeneration(edgeFolder)
    if (!isGone && taken === generation) return
    clearInterval(timer)
    const why = taken > generation ? 'another supervisor has taken over' : 'our supervisor never took over'
    workerLog('info', isGone ? 'the data directory is gone; ending' : `${why}; ending`)
    if (worker === null) process.exit(0)
    else worker.drain()
  }
}

/** Builds the worker and binds its ports. It takes invalidations from before the first connection. */
async function run(message: StartMessage): Promise<void> {
  const reader = openEdgeReader(message.edgeFolder)
  const deadlines = createDeadlines()
  const keyPair = {
    publicKey: Buffer.from(message.publicKey, 'base64'),
    privateKey: Buffer.from(message.privateKey, 'base64'),
  }
  const warn = (fields: { fingerprint: string; reason: string }): void =>
    workerLog('warn', 'a certificate cannot be used', fields)
  const contexts = createContexts({ reader, keyPair, warn })
  const observer = createObserver({ reader, pipe: createReportPipe() })
  const servers = createHttpServers({
    reader,
    log: observer.log,
    blobsFolder: message.blobsFolder,
    reach: createReach(message.outboundAllow),
    isOwnAddress: createOwnAddresses([...message.https, ...message.http]),
    deadlines,
    httpsPort: message.https[0]?.port ?? 443,
    panelHop: createPanelHop({ reader, keyPair }),
    onBlobFault: (digest, kind) => report({ type: 'blob-fault', digest, kind }),
    report(error) {
      if (isDamage(error)) tellDamage()
      workerLog('error', 'a request failed', { err: String((error as Error)?.stack ?? error) })
    },
  })
  const kinds = createHandshakeCounts()
  const files = descriptorLimit()
  const door = createFrontDoor({
    reader,
    contexts,
    servers,
    deadlines,
    maxConnections: connectionLimit(files),
    hasRoom: () => hasDescriptors('visitor'),
    isProxy: addressMatcher(message.proxyProtocolFrom ?? []),
    onHandshake: kinds.note,
    report(error) {
      if (isDamage(error)) tellDamage()
      workerLog('error', 'a connection could not be judged', { err: error.message })
    },
  })
  const listeners: Server[] = []
  let isDraining = false
  let accepted = 0
  const counted =
    (admit: (socket: Socket) => void) =>
    (socket: Socket): void => {
      accepted += 1
      admit(socket)
    }
  worker = {
    invalidate(keys) {
      contexts.invalidate(keys)
      door.invalidate(keys)
      servers.invalidate(keys)
      observer.invalidate(keys)
    },
    drain() {
      if (isDraining) return
      isDraining = true
      const open = (): number => door.counters().connections
      const target = { listeners, accepted: () => accepted, open, part: () => servers.drain() }
      void drainWorker(target, () => void observer.close().finally(() => process.exit(0)))
    },
  }
  await proveIsolation(contextsOfTwoSites(message.proofCertificate))
  for (const bind of message.https) listeners.push(await listen(bind, counted(door.admit)))
  for (const bind of message.http) listeners.push(await listen(bind, counted(door.admitPlain)))
  const delay = createDelayMeter()
  const sendStatus = (): void => {
    const held = { contexts: contexts.size, contextBytes: contexts.bytes, residentBytes: process.memoryUsage.rss() }
    const counters = { ...door.counters(), ...held, loopDelayMs: delay.take() }
    const sums = { handshakeKinds: kinds.byKind, contextUse: contexts.use }
    report({ type: 'status', counters: { ...counters, ...sums } })
  }
  setInterval(sendStatus, STATUS_EVERY_MS).unref()
}

function listen(bind: Bind, admit: (socket: Socket) => void): Promise<Server> {
  const server = createServer({ noDelay: !acceptsWithoutDelay }, admit)
  const { promise, resolve, reject } = Promise.withResolvers<Server>()
  server.once('error', (error) =>
    reject(new Error(`cannot listen on ${bind.address} port ${bind.port}: ${error.message}`)),
  )
  const options = { host: bind.address, port: bind.port, ipv6Only: bind.ipv6Only, reusePort: true, backlog: BACKLOG }
  server.listen(options, () => {
    server.on('error', (error) => workerLog('error', 'listener', { err: error.message }))
    resolve(server)
  })
  return promise
}

/** Connections that one worker holds, by how many files it may have open: 15,840 of 20,000. */
function connectionLimit(files: number): number {
  return Math.max(50, Math.min(MAX_CONNECTIONS, Math.floor((files - RESERVED_DESCRIPTORS) * CONNECTION_SHARE)))
}
