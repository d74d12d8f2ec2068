import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { columnsOf } from '../control/certificates/issuer-service.ts'
import { insertIssuer } from '../control/certificates/issuer-store.ts'
import { type CertificateManager, type ManagerDeps, startCertificateManager } from '../control/certificates/manager.ts'
import { seedIssuer } from '../control/certificates/seed.ts'
import type { Db } from '../control/db.ts'
import { openHints } from '../control/jobs/hints.ts'
import { createVault, type Vault } from '../control/vault.ts'
import { createLog, type Logger } from '../process/log.ts'
import type { Pebble } from './pebble.ts'

/** Longest wait of a test for something that happens soon. */
const DEADLINE_MS = 45_000

/** A log that says nothing. */
export function quietLog(): Logger {
  return createLog('test', 'silent')
}

/** The vault of a key that every process of one test derives anew. */
export function testVault(seed = 'certificates'): Vault {
  return createVault(Buffer.alloc(32, seed))
}

/** A tenant with one site, ready for hostnames. */
export async function createTenantSite(db: Db): Promise<{ tenantId: string; siteId: string }> {
  const name = `t-${randomBytes(4).toString('hex')}`
  const tenant = await db.tenant.create({ data: { name } })
  const site = await db.site.create({ data: { tenantId: tenant.id, name, kind: 'static' } })
  return { tenantId: tenant.id, siteId: site.id }
}

/** A proven hostname, as the domains' side leaves it. Returns its id. */
export async function createVerifiedHostname(
  db: Db,
  owner: { tenantId: string; siteId: string },
  name: string,
): Promise<string> {
  const domainName = name.replace(/^\*\./, '').split('.').slice(-2).join('.')
  const { tenantId, siteId } = owner
  const domain = await db.domain.upsert({
    where: { tenantId_name: { tenantId, name: domainName } },
    create: { tenantId, name: domainName, token: randomBytes(16).toString('hex') },
    update: {},
  })
  const hostname = await db.hostname.create({
    data: { tenantId, siteId, domainId: domain.id, name, ownershipState: 'verified', verifiedAt: new Date() },
  })
  return hostname.id
}

/** Answers http-01 from the challenge table, as an edge does from its records. */
export type Responder = AsyncDisposable & {
  readonly port: number
  /** Tokens that were asked for. */
  readonly asked: readonly string[]
  /** What it answers besides: `wrong` text, or the truth. */
  answer: 'truth' | 'wrong'
}

/** Starts a responder on a free port. */
export async function startResponder(db: Db): Promise<Responder> {
  const asked: string[] = []
  const server = createServer(async (request, reply) => {
    const token = request.url?.split('/.well-known/acme-challenge/')[1] ?? ''
    asked.push(token)
    const row = await db.challenge.findUnique({ where: { token } }).catch(() => null)
    if (row === null) reply.writeHead(404).end()
    else reply.end(responder.answer === 'truth' ? row.keyAuthorization : 'something else')
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  const responder: Responder = {
    port: address !== null && typeof address === 'object' ? address.port : 0,
    asked,
    answer: 'truth',
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
  return responder
}

/** Makes Pebble the issuer of a database. Returns the issuer's id. */
export async function useAcme(
  db: Db,
  pebble: Pick<Pebble, 'directoryUrl' | 'caPem'>,
  options: { name?: string; termsAgreed?: boolean; eabKid?: string; eabHmacKey?: string } = {},
): Promise<string> {
  const input = { name: 'Pebble', termsAgreed: true, ...options }
  const columns = columnsOf({ ...input, directoryUrl: pebble.directoryUrl, trustRootPem: pebble.caPem }, testVault())
  const row = await db.$transaction((tx) => insertIssuer(tx, columns))
  return row.id
}

/** Makes the local CA the issuer of a database. */
export async function useLocalCa(db: Db): Promise<void> {
  const none = { acmeCaFile: null, acmeEabKid: null, acmeEabHmacKey: null, acmeEmail: null, acmeProfile: null }
  await seedIssuer(db, testVault(), { acmeDirectory: null, acmeTermsAgreed: false, ...none }, quietLog(), 'test')
}

/** No provider and no lasting record. */
export const noDns: ManagerDeps['dns'] = {
  covers: () => Promise.resolve(false),
  proves: () => Promise.resolve(false),
  present: () => Promise.reject(new Error('there is no DNS provider')),
  hasPersistRecord: () => Promise.resolve(false),
}

/** A manager with its own hints, stopped by `await using`. */
export type RunningManager = AsyncDisposable & CertificateManager

/** Starts a manager on a database; ownership and acks are granted unless the test says otherwise. */
export function startManager(database: { db: Db; url: string }, deps: Partial<ManagerDeps> = {}): RunningManager {
  const log = quietLog()
  const hints = openHints(database.url, log)
  const manager = startCertificateManager({
    db: database.db,
    vault: testVault(),
    hints,
    log,
    version: 'test',
    awaitAcked: () => Promise.resolve(true),
    recheckBeforeOrder: () => Promise.resolve(true),
    preflight: () => Promise.resolve(null),
    whereabouts: () => Promise.resolve('here'),
    dns: noDns,
    ...deps,
  })
  return {
    ...manager,
    async [Symbol.asyncDispose]() {
      await manager.stop()
      await hints.close()
    },
  }
}

/** Waits until `look` gives something; the deadline is generous and an error says what was last there. */
export async function eventually<T>(look: () => Promise<T | null | undefined | false>, what: string): Promise<T> {
  const deadline = Date.now() + DEADLINE_MS
  for (;;) {
    const found = await look()
    if (found !== null && found !== undefined && found !== false) return found
    if (Date.now() > deadline) throw new Error(`did not happen in time: ${what}`)
    await sleep(25)
  }
}

/** Waits for the certificate of a name to be in a state and returns its row with version and orders. */
export async function certificateInState(db: Db, name: string, state: string) {
  let last: unknown = null
  return eventually(async () => {
    const row = await db.certificate.findFirst({
      where: { names: { has: name } },
      include: { activeVersion: true, versions: true, orders: { include: { challenges: true } } },
    })
    last = row
    return row?.state === state ? row : null
  }, `${name} ${state}`).catch((error: unknown) => {
    throw new Error(
      `last seen: ${JSON.stringify(last, (_key, value) => (typeof value === 'bigint' ? String(value) : value), 1)}`,
      {
        cause: error,
      },
    )
  })
}
