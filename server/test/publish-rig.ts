import { randomBytes, randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { setTimeout as pause } from 'node:timers/promises'
import { generateSealKeyPair } from '../contract/sealing.ts'
import type { Db } from '../control/db.ts'
import { type Hints, openHints } from '../control/jobs/hints.ts'
import type { Loop } from '../control/jobs/loop.ts'
import { startLinkServer } from '../control/publish/link-server.ts'
import { createLiveness, type Liveness } from '../control/publish/liveness.ts'
import { startSequencer } from '../control/publish/sequence.ts'
import { createLogTails, type LogTails } from '../control/traffic/log-tails.ts'
import { createVault, type Vault } from '../control/vault.ts'
import { type EdgeStore, openEdgeStore } from '../listener/edge-store.ts'
import { type Link, type LinkOptions, startLink } from '../listener/link-client.ts'
import { createLog } from '../process/log.ts'
import type { TestDatabase } from './database.ts'

/** Says nothing, so that a passing test is quiet. */
export const silentLog = createLog('test', 'silent')

/** A folder below the temporary one, removed with `await using`. Short, for sockets. */
export function temporaryFolder(): AsyncDisposable & { readonly path: string } {
  const path = mkdtempSync(join(tmpdir(), 'np-'))
  return { path, [Symbol.asyncDispose]: async () => rmSync(path, { recursive: true, force: true }) }
}

/** Waits until `check` is true; a generous deadline, since nothing here asserts on time. */
export async function until(what: string, check: () => boolean | Promise<boolean>, limitMs = 60_000): Promise<void> {
  const limit = performance.now() + limitMs
  while (!(await check())) {
    if (performance.now() > limit) throw new Error(`waited in vain: ${what}`)
    await pause(20)
  }
}

/** A tenant with a domain and a redirect site, as rows. */
export type Seed = {
  readonly tenantId: string
  readonly domainId: string
  readonly domain: string
  readonly siteId: string
}

/** Gives a database the identity that the feed needs. */
export async function seedInstallation(db: Db): Promise<{ feedId: string }> {
  const feedId = randomUUID()
  await db.installation.create({ data: { feedId, masterKeyCheck: Buffer.from('test') } })
  return { feedId }
}

/** Makes a tenant whose names are below `domain`. */
export async function seedTenant(db: Db, domain: string): Promise<Seed> {
  const tenant = await db.tenant.create({ data: { name: domain } })
  const tenantId = tenant.id
  const data = { tenantId, name: domain, token: randomUUID(), state: 'verified' } as const
  const { id: domainId } = await db.domain.create({ data })
  return { tenantId, domainId, domain, siteId: await seedSite(db, tenantId) }
}

/** Makes a redirect site. */
export async function seedSite(db: Db, tenantId: string): Promise<string> {
  const data = { tenantId, name: randomUUID(), kind: 'redirect', redirectTo: 'https://example.test/' } as const
  return (await db.site.create({ data })).id
}

/** Makes a certificate with an active version; returns its id and fingerprint. The key's text is `key <fingerprint>`. */
export async function seedCertificate(
  db: Db,
  vault: Vault,
  tenantId: string,
  names: string[],
): Promise<{ id: string; fingerprint: string }> {
  const { id } = await db.certificate.create({ data: { tenantId, names } })
  return { id, fingerprint: await renewCertificate(db, vault, id, names) }
}

/** Gives a certificate a new active version; returns its fingerprint. */
export async function renewCertificate(db: Db, vault: Vault, certificateId: string, names: string[]): Promise<string> {
  const fingerprint = randomBytes(32).toString('hex')
  const version = await db.certificateVersion.create({
    data: {
      certificateId,
      fingerprint,
      serial: fingerprint.slice(0, 16),
      names,
      keyAlgorithm: 'ecdsa-p256',
      chainPem: `chain ${fingerprint}`,
      keySealed: vault.seal(`key ${fingerprint}`, `certificate-key:${fingerprint}`),
      notBefore: new Date(Date.now() - 1_000),
      notAfter: new Date(Date.now() + 86_400_000),
    },
  })
  await db.certificate.update({ where: { id: certificateId }, data: { activeVersionId: version.id, state: 'valid' } })
  return fingerprint
}

/** Makes a proven hostname. */
export async function seedHostname(db: Db, seed: Seed, name: string, certificateId: string | null): Promise<string> {
  const { tenantId, domainId, siteId } = seed
  const proven = { ownershipState: 'verified', verifiedAt: new Date() } as const
  const row = await db.hostname.create({ data: { tenantId, domainId, siteId, name, certificateId, ...proven } })
  return row.id
}

/** The publishing side of a control plane, in this process. */
export type PublishRig = AsyncDisposable & {
  readonly db: Db
  readonly vault: Vault
  readonly hints: Hints
  readonly sequencer: Loop
  readonly liveness: Liveness
  readonly socketPath: string
  /** Content by digest; what is not there is missing. */
  readonly blobs: Map<string, Buffer>
  readonly tails: LogTails
}

/** The vault of every rig, so that a second one on the same database opens what the first sealed. */
export const rigVault = createVault(Buffer.alloc(32, 7))

/** Starts sequencer and link server on a database that has its installation row. */
export async function startPublishRig(
  database: Pick<TestDatabase, 'db' | 'url'>,
  socketPath: string,
): Promise<PublishRig> {
  const { db, url } = database
  const hints = openHints(url, silentLog)
  const liveness = createLiveness(db)
  const blobs = new Map<string, Buffer>()
  const tails = createLogTails({ db, log: silentLog })
  const sequencer = startSequencer({ db, hints, log: silentLog })
  const server = await startLinkServer({
    db,
    vault: rigVault,
    log: silentLog,
    hints,
    socketPath,
    group: null,
    onAck: liveness.acked,
    tails,
    openBlob: async (digest) => {
      const content = blobs.get(digest)
      return content === undefined ? null : { bytes: content.length, stream: Readable.from([content]) }
    },
  })
  return {
    db,
    vault: rigVault,
    hints,
    sequencer,
    liveness,
    socketPath,
    blobs,
    tails,
    async [Symbol.asyncDispose]() {
      await server.close()
      await sequencer.stop()
      await hints.close()
    },
  }
}

/** An edge in this process, with its own disk; its pool has no workers and remembers what it was told. */
export type EdgeRig = AsyncDisposable & {
  readonly edgeId: string
  readonly folder: string
  readonly keyPair: LinkOptions['identity']['keyPair']
  readonly store: EdgeStore
  readonly link: Link
  readonly invalidated: string[]
}

/** Starts an edge; the same `folder` and `edgeId` continue an earlier one. */
export function startEdgeRig(
  socketPath: string,
  folder: string,
  overrides: { edgeId?: string; keyPair?: EdgeRig['keyPair'] } = {},
): EdgeRig {
  const edgeId = overrides.edgeId ?? randomUUID()
  const keyPair = overrides.keyPair ?? generateSealKeyPair()
  const invalidated: string[] = []
  const store = openEdgeStore(folder)
  const link = startLink({
    httpsPort: 443,
    socketPath,
    identity: { edgeId, name: 'test', keyPair },
    store,
    blobsFolder: join(folder, 'blobs'),
    pool: {
      invalidate: async (keys) => void invalidated.push(...keys.map(({ kind, key }) => `${kind} ${key}`)),
      status: () => ({ workers: 0, runtime: 'none' }),
    },
    log: silentLog,
    version: 'test',
  })
  return {
    edgeId,
    folder,
    keyPair,
    store,
    link,
    invalidated,
    async [Symbol.asyncDispose]() {
      await link.close()
      store.close()
    },
  }
}

/** Waits until everything committed is published and an edge holds it. */
export async function settled(db: Db, edge: { readonly store: EdgeStore }): Promise<void> {
  await until('the edge holds the feed', async () => {
    if ((await db.feedChange.count()) > 0) return false
    const { revision, feedId } = await db.installation.findUniqueOrThrow({ where: { id: 1 } })
    const position = edge.store.position()
    return position.feedId === feedId && BigInt(position.revision) === revision
  })
}
