import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Payloads, RecordKind, ServingRecord, SiteRecord } from '../contract/records.ts'
import { sealTo } from '../contract/sealing.ts'
import { type EdgeFolder, prepareEdgeFolder, type WorkerAccount } from '../listener/edge-folder.ts'
import { type EdgeStore, openEdgeStore } from '../listener/edge-store.ts'
import { type Observation, startObservation } from '../listener/observe/observation.ts'
import { resolvePorts } from '../listener/ports.ts'
import { makeThrowawayCertificate } from '../listener/throwaway-certificate.ts'
import { type Runtime, workerLaunch } from '../listener/worker-command.ts'
import type { StartMessage } from '../listener/worker-messages.ts'
import { startWorkerPool, type WorkerPool } from '../listener/worker-pool.ts'
import { createLog } from '../process/log.ts'
import type { Listen } from '../process/settings.ts'
import { blobFolder } from './blob-folder.ts'
import type { TestCertificate } from './certificates.ts'
import { freePorts } from './ports.ts'

/** The runtimes that every test of the listener runs on: `describe.each(runtimes)`. */
export const runtimes: readonly Runtime[] = ['bun', 'node']

/** A record without its revision: the rig counts. */
export type RigRecord<K extends RecordKind = RecordKind> = {
  readonly [P in K]: { readonly kind: P; readonly key: string; readonly payload: Payloads[P] | null }
}[K]

/** `RIG_LOG=info` shows what supervisor and workers say. */
const logLevel = (process.env.RIG_LOG ?? 'fatal') as StartMessage['logLevel']

/** How a rig differs from the plain one. */
export type RigOptions = {
  readonly runtime: Runtime
  readonly records?: (rig: Pick<ListenerRig, 'certificate' | 'release'>) => readonly RigRecord[]
  /** Default 1. */
  readonly workers?: number
  /** Default: every address, one free port. `[]` listens nowhere. */
  readonly https?: readonly Listen[]
  readonly http?: readonly Listen[]
  readonly account?: WorkerAccount | null
  readonly outboundAllow?: readonly string[]
  /** A data directory that is there already, with what its edge's store holds; it stays when the rig is closed. */
  readonly dataDir?: string
  readonly proxyProtocolFrom?: readonly string[]
}

/** Real workers on an edge store that the test fills itself: no control plane. */
export type ListenerRig = AsyncDisposable & {
  readonly httpsPort: number
  readonly httpPort: number
  readonly edge: EdgeFolder
  readonly store: EdgeStore
  readonly pool: WorkerPool
  /** What the supervisor makes of the workers' reports: `<folder>/logs`, counters in the spool. */
  readonly observation: Observation
  readonly folder: string
  readonly message: StartMessage
  /** Process ids of the workers that live now. */
  readonly pids: () => readonly number[]
  /** Puts records on disk and drops them from the workers' caches, as the link does. */
  publish(records: readonly RigRecord[]): Promise<void>
  /** The record of a certificate, its key sealed to this edge. */
  certificate(certificate: TestCertificate): RigRecord
  /** Stores the files as blobs; the digest of their manifest is for a site's record. */
  release(files: Readonly<Record<string, string | Buffer>>): string
  close(): Promise<void>
}

/** Starts workers. Close the rig in `afterAll`, or hold it with `await using`. */
export async function startListenerRig(options: RigOptions): Promise<ListenerRig> {
  const folder = options.dataDir ?? mkdtempSync(join(tmpdir(), 'nameplate-rig-'))
  const account = options.account ?? null
  const edge = prepareEdgeFolder(folder, account)
  const { keyPair } = edge.identity
  const store = openEdgeStore(edge.path)
  const parts = {
    certificate: (certificate: TestCertificate) => certificateRecord(certificate, keyPair.publicKey),
    release: (files: Readonly<Record<string, string | Buffer>>) => storeRelease(edge.blobs, files),
  }
  let { revision } = store.position()
  const apply = (records: readonly RigRecord[]): void => {
    revision += 1
    store.apply(
      records.map((record) => ({ ...record, revision }) as ServingRecord),
      revision,
    )
  }
  apply([ticketKeyRecord(keyPair.publicKey), ...(options.records?.(parts) ?? [])])
  const [https = [], http = []] = await rigPorts(options)
  const message: StartMessage = {
    type: 'start',
    edgeFolder: edge.path,
    blobsFolder: edge.blobs,
    publicKey: keyPair.publicKey.toString('base64'),
    privateKey: keyPair.privateKey.toString('base64'),
    generation: 1,
    https,
    http,
    outboundAllow: options.outboundAllow ?? [],
    proxyProtocolFrom: options.proxyProtocolFrom ?? [],
    logLevel,
    proofCertificate: await makeThrowawayCertificate(['proof.invalid']),
  }
  const log = createLog('rig', logLevel)
  const observation = startObservation({ dataDir: folder, store, log })
  let pids: readonly number[] = []
  const launch = workerLaunch(options.runtime, account)
  if (launch === null) throw new Error(`${options.runtime} is not installed`)
  const pool = await startWorkerPool({
    launch,
    count: options.workers ?? 1,
    message,
    log,
    intake: observation.intake,
    onWorkers: (now) => {
      pids = now
    },
  })
  // A test that dies must not leave workers behind that wait for a successor.
  const killAll = (): void => {
    for (const pid of pids) process.kill(pid, 'SIGKILL')
  }
  process.once('exit', killAll)
  const close = async (): Promise<void> => {
    await pool.drain()
    process.off('exit', killAll)
    await observation.close()
    store.close()
    if (options.dataDir === undefined) rmSync(folder, { recursive: true, force: true })
  }
  return {
    httpsPort: https[0]?.port ?? 0,
    httpPort: http[0]?.port ?? 0,
    edge,
    store,
    pool,
    observation,
    folder,
    message,
    pids: () => pids,
    async publish(records) {
      apply(records)
      await pool.invalidate(records)
    },
    ...parts,
    close,
    [Symbol.asyncDispose]: close,
  }
}

/** A `site` record with the parts that a test does not care about filled in. */
export function siteRecord(key: string, site: Partial<SiteRecord>): RigRecord {
  const empty: SiteRecord = {
    tenantId: 'tenant',
    kind: 'static',
    state: 'active',
    manifest: null,
    upstreams: [],
    redirectTo: null,
    redirectStatus: null,
    isPanel: false,
  }
  return { kind: 'site', key, payload: { ...empty, ...site } }
}

/** A `name` record. */
export function nameRecord(name: string, siteId: string, ...certificates: readonly TestCertificate[]): RigRecord {
  return { kind: 'name', key: name, payload: { siteId, certificates: certificates.map((c) => c.fingerprint) } }
}

/** An `address` record; without a site it is a shared address. */
export function addressRecord(
  address: string,
  siteId: string | null,
  ...certificates: readonly TestCertificate[]
): RigRecord & { readonly kind: 'address' } {
  const fingerprints = certificates.map((certificate) => certificate.fingerprint)
  return { kind: 'address', key: address, payload: { siteId, certificates: fingerprints, legacyTls: 'none' } }
}

/** A `certificate` record, its key sealed to the edge. */
export function certificateRecord(certificate: TestCertificate, edgeKey: Buffer): RigRecord {
  const sealedKey = sealTo(edgeKey, Buffer.from(certificate.privateKeyPem), certificate.fingerprint).toString('base64')
  const { chainPem, names, notAfter, fingerprint } = certificate
  return { kind: 'certificate', key: fingerprint, payload: { chainPem, sealedKey, names, notAfter } }
}

/** The `ticket-key` record with a random secret, sealed to the edge. */
export function ticketKeyRecord(edgeKey: Buffer): RigRecord {
  const sealedSecret = sealTo(edgeKey, randomBytes(32), 'ticket-key').toString('base64')
  return { kind: 'ticket-key', key: 'current', payload: { epoch: 1, sealedSecret } }
}

async function rigPorts(options: RigOptions) {
  const [https = 0, http = 0] = await freePorts(2)
  const wish = { port: 0, fallback: 0, setting: 'rig' }
  return resolvePorts(
    [
      { ...wish, listen: options.https ?? [{ address: null, port: https }] },
      { ...wish, listen: options.http ?? [{ address: null, port: http }] },
    ],
    { hold: () => false },
  )
}

const types: Readonly<Record<string, string>> = {
  html: 'text/html; charset=utf-8',
  css: 'text/css; charset=utf-8',
  js: 'text/javascript; charset=utf-8',
  txt: 'text/plain; charset=utf-8',
}

/** Stores files and their manifest as blobs; returns the manifest's digest. */
export function storeRelease(blobsFolder: string, files: Readonly<Record<string, string | Buffer>>): string {
  const blobs = blobFolder(blobsFolder)
  const entries = Object.entries(files).map(([path, content]) => {
    const type = types[path.split('.').pop() ?? ''] ?? 'application/octet-stream'
    return [path, blobs.file(content, type)] as const
  })
  return blobs.release(Object.fromEntries(entries))
}
