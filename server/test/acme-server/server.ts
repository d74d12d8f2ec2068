import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createTestAuthority, type TestAuthority } from '../certificates.ts'
import { freePorts } from '../ports.ts'
import { createUrls } from './calls.ts'
import type { Context } from './context.ts'
import { createFaults, type Faults } from './faults.ts'
import { handle } from './handle.ts'
import { createHierarchy } from './hierarchy.ts'
import { createLimits, type RateLimits } from './limits.ts'
import { type AcmeLog, createLog } from './log.ts'
import { createRenewals, type Renewals } from './renewal-rule.ts'
import { type AcmeServerOptions, type Profile, type Settings, settingsOf } from './settings.ts'
import { createState, forgetAll } from './state.ts'

/** A running ACME server, stopped by `await using`. */
export type AcmeServer = AsyncDisposable & {
  readonly directoryUrl: string
  readonly port: number
  /** PEM root of the server's own HTTPS. */
  readonly caPem: string
  /** The same in a file. */
  readonly caFile: string
  /** PEM roots that its certificates chain to: of the default chain, and of the alternate. They survive restarts. */
  readonly rootPems: readonly [string, string]
  readonly log: AcmeLog
  readonly faults: Faults
  /** Mode and numbers may be changed while it runs. */
  readonly limits: RateLimits
  /** Rule, single windows (by certID) and Retry-After of ARI, changed while it runs. */
  readonly renewals: Renewals
  /** Profiles offered: set and deleted while it runs. */
  readonly profiles: Map<string, Profile>
  /** What may be changed while it runs; the rest is fixed at the start. */
  readonly settings: TunableSettings
  /** What the account's URL is called in `accounturi` of CAA and dns-persist-01 records. */
  accountUrl(accountId: string): string
  /** Accounts that exist now. */
  accountIds(): string[]
  /** Takes an account away: its requests get accountDoesNotExist. */
  loseAccount(accountId: string): void
  /** Takes an order away: 404. */
  loseOrder(orderId: string): void
  /** The serial numbers (hex) of what is revoked. */
  revokedSerials(): string[]
  /** Closes the port and every connection, as an outage. */
  stop(): Promise<void>
  /** Listens again at the same port. */
  start(): Promise<void>
  /** Stops and starts; with `forget` all accounts, orders and certificates are gone, as after a restart of Pebble. */
  restart(options: { readonly forget: boolean }): Promise<void>
}

/** Settings that take effect at once when they are set. */
export type TunableSettings = {
  -readonly [K in
    | 'httpPort'
    | 'tlsPort'
    | 'nonceRejectPercent'
    | 'finalizeDelayMs'
    | 'validationDelayMs'
    | 'pollSeconds'
    | 'authorizationReuseSeconds'
    | 'rejectedNames'
    | 'externalAccounts'
    | 'caaIdentities'
    | 'termsOfService']: Settings[K]
}

/** Starts the server on a loopback port with a CA of its own. */
export async function startAcmeServer(options: AcmeServerOptions): Promise<AcmeServer> {
  const settings = settingsOf(options)
  const port = options.port ?? (await freePorts(1))[0] ?? 0
  const authority = await createTestAuthority(`ACME server test CA ${port}`)
  const folder = mkdtempSync(join(tmpdir(), 'acme-server-'))
  writeFileSync(join(folder, 'ca.pem'), authority.caPem)
  const context = createContext(options, settings, `https://127.0.0.1:${port}`)
  const { state, hierarchy, log, faults, limits, renewals, profiles, urls } = context
  const listener = await createListener(context, authority, port)
  await listener.start()
  return {
    directoryUrl: urls.directory(),
    port,
    caPem: authority.caPem,
    caFile: join(folder, 'ca.pem'),
    rootPems: [hierarchy.roots[0].pem, hierarchy.roots[1].pem],
    log,
    faults,
    limits,
    renewals,
    profiles,
    settings,
    accountUrl: urls.account,
    accountIds: () => [...state.accounts.keys()],
    loseAccount: (id) => void state.accounts.delete(id),
    loseOrder: (id) => void state.orders.delete(id),
    revokedSerials: () =>
      [...state.certificates.values()].filter(({ revoked }) => revoked !== null).map(({ serial }) => serial),
    stop: listener.stop,
    start: listener.start,
    async restart({ forget }) {
      await listener.stop()
      if (forget) forgetAll(state)
      await listener.start()
    },
    async [Symbol.asyncDispose]() {
      await listener.stop()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

function createContext(options: AcmeServerOptions, settings: Settings, base: string): Context {
  const log = createLog(settings.clock)
  return {
    settings,
    urls: createUrls(() => base),
    state: createState(),
    hierarchy: createHierarchy(settings.clock()),
    profiles: new Map(Object.entries(settings.profiles)),
    limits: createLimits(options.limits, settings.clock, log),
    renewals: createRenewals(options.renewal),
    faults: createFaults(settings.random, log),
    log,
  }
}

async function createListener(
  context: Context,
  authority: TestAuthority,
  port: number,
): Promise<{ start: () => Promise<void>; stop: () => Promise<void> }> {
  const { chainPem, privateKeyPem } = await authority.issue(['127.0.0.1', 'localhost'])
  let server: Server | null = null
  return {
    async start() {
      if (server !== null) return
      server = createServer({ cert: chainPem, key: privateKeyPem, keepAliveTimeout: 60_000 }, (incoming, reply) => {
        handle(context, incoming, reply).catch(() => reply.destroy())
      })
      server.listen(port, '127.0.0.1')
      await once(server, 'listening')
    },
    async stop() {
      if (server === null) return
      const closed = once(server, 'close')
      server.close()
      server.closeAllConnections()
      server = null
      await closed
    },
  }
}
