import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import tls from 'node:tls'
import type { ServingRecord } from '../contract/records.ts'
import { sealTo } from '../contract/sealing.ts'
import type { Logger } from '../process/log.ts'
import { prepareEdgeFolder, type WorkerAccount } from './edge-folder.ts'
import { openEdgeStore } from './edge-store.ts'
import { resolvePorts } from './ports.ts'
import { makeThrowawayCertificate, type ThrowawayCertificate } from './throwaway-certificate.ts'
import type { WorkerLaunch } from './worker-command.ts'
import { startWorkerProcess } from './worker-process.ts'

/** For everything, the start of the worker included. */
const TIME_LIMIT_MS = 30_000
/** Of one length, so that a name can be put in place of another inside a client's session. */
const names = { a: 'a.self-test.invalid', alias: 'c.self-test.invalid', b: 'b.self-test.invalid' } as const
const versions = ['TLSv1.2', 'TLSv1.3'] as const

type Version = (typeof versions)[number]
type Visit = {
  readonly isReused: boolean
  readonly fingerprint: string
  readonly status: string
  readonly session: Buffer
}

/**
 * Runs a worker on two sites of its own and visits them: each must answer with its certificate, a
 * session must be resumed under an alias of its site, and must not be at the other site, although
 * the client offers it. Throws with the reason when the runtime is not fit to serve here.
 */
export async function selfTest(launch: WorkerLaunch, account: WorkerAccount | null, log: Logger): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'nameplate-self-test-'))
  const edge = prepareEdgeFolder(folder, account)
  const store = openEdgeStore(edge.path)
  const { keyPair } = edge.identity
  try {
    const [a, b] = await Promise.all([
      makeThrowawayCertificate([names.a, names.alias]),
      makeThrowawayCertificate([names.b]),
    ])
    store.apply(recordsOf(a, b, keyPair.publicKey), 1)
    const [https = []] = await resolvePorts([loopback], { hold: () => false })
    const worker = startWorkerProcess(
      launch,
      {
        type: 'start',
        edgeFolder: edge.path,
        blobsFolder: edge.blobs,
        publicKey: keyPair.publicKey.toString('base64'),
        privateKey: keyPair.privateKey.toString('base64'),
        generation: 0,
        https,
        http: [],
        outboundAllow: [],
        logLevel: 'error',
        proofCertificate: a,
      },
      log,
    )
    const timer = setTimeout(worker.kill, TIME_LIMIT_MS)
    try {
      await worker.listening
      for (const version of versions) await judge(https[0]?.port ?? 0, version, a, b)
    } finally {
      clearTimeout(timer)
      worker.kill()
      await worker.ended
    }
  } finally {
    store.close()
    rmSync(folder, { recursive: true, force: true })
  }
}

const loopback = { listen: [{ address: '127.0.0.1', port: 0 }], port: 0, fallback: 0, setting: 'self-test' }

async function judge(port: number, version: Version, a: ThrowawayCertificate, b: ThrowawayCertificate): Promise<void> {
  const first = await visit(port, version, names.a)
  expect(first.fingerprint === a.fingerprint && first.status === '308', `${version}: the first site does not answer`)
  const resumed = await visit(port, version, names.alias, renamed(first.session, names.alias))
  expect(resumed.isReused, `${version}: a session is not resumed within its site`)
  const second = await visit(port, version, names.a)
  const foreign = await visit(port, version, names.b, renamed(second.session, names.b))
  expect(!foreign.isReused, `${version}: a session of one site is resumed at another`)
  expect(foreign.fingerprint === b.fingerprint, `${version}: a site answers with a foreign certificate`)
}

function expect(isTrue: boolean, otherwise: string): void {
  if (!isTrue) throw new Error(otherwise)
}

/** One request over a connection of its own, with the session that the client keeps afterwards. */
function visit(port: number, version: Version, servername: string, offered?: Buffer): Promise<Visit> {
  const { promise, resolve, reject } = Promise.withResolvers<Visit>()
  const socket = tls.connect({
    host: '127.0.0.1',
    port,
    servername,
    minVersion: version,
    maxVersion: version,
    // Self-signed; the fingerprint is compared instead.
    rejectUnauthorized: false,
    ...(offered === undefined ? {} : { session: offered }),
  })
  let session = Buffer.alloc(0)
  let text = ''
  let fingerprint = ''
  let isReused = false
  socket.setTimeout(TIME_LIMIT_MS, () => socket.destroy(new Error('no answer in time')))
  socket.on('session', (fresh) => {
    session = fresh
  })
  socket.on('secureConnect', () => {
    isReused = socket.isSessionReused()
    fingerprint = (socket.getPeerX509Certificate()?.fingerprint256 ?? '').replaceAll(':', '').toLowerCase()
    socket.write(`GET / HTTP/1.1\r\nHost: ${servername}\r\nConnection: close\r\n\r\n`)
  })
  socket.on('data', (chunk: Buffer) => {
    text += chunk.toString('latin1')
  })
  socket.on('error', reject)
  socket.on('close', () => {
    const status = /^HTTP\/1\.1 (\d{3})/.exec(text)?.[1]
    if (status === undefined) reject(new Error(`${version}: a request was not answered`))
    else resolve({ isReused, fingerprint, status, session })
  })
  return promise
}

/** Node's client does not offer a session under another name than its own: the name inside is changed. */
function renamed(session: Buffer, name: string): Buffer {
  return Buffer.from(session.toString('latin1').replaceAll(names.a, name), 'latin1')
}

function recordsOf(a: ThrowawayCertificate, b: ThrowawayCertificate, edgeKey: Buffer): ServingRecord[] {
  const site = (key: string): ServingRecord => ({
    kind: 'site',
    key,
    revision: 1,
    payload: {
      tenantId: key,
      kind: 'redirect',
      state: 'active',
      manifest: null,
      upstreams: [],
      redirectTo: 'https://self-test.invalid/',
      redirectStatus: 308,
      isPanel: false,
    },
  })
  const name = (key: string, siteId: string, { fingerprint }: ThrowawayCertificate): ServingRecord => ({
    kind: 'name',
    key,
    revision: 1,
    payload: { siteId, certificates: [fingerprint] },
  })
  const certificate = ({ fingerprint, chainPem, keyPem, notAfter }: ThrowawayCertificate): ServingRecord => ({
    kind: 'certificate',
    key: fingerprint,
    revision: 1,
    payload: {
      chainPem,
      sealedKey: sealTo(edgeKey, Buffer.from(keyPem), fingerprint).toString('base64'),
      names: [],
      notAfter,
    },
  })
  const sealedSecret = sealTo(edgeKey, randomBytes(32), 'ticket-key').toString('base64')
  return [
    { kind: 'ticket-key', key: 'current', revision: 1, payload: { epoch: 1, sealedSecret } },
    ...[certificate(a), certificate(b), site('a'), site('b')],
    ...[name(names.a, 'a', a), name(names.alias, 'a', a), name(names.b, 'b', b)],
  ]
}
