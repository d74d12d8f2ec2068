import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyInstance } from 'fastify'
import { normalizeName } from './contract/names.ts'
import { createReach } from './contract/reach.ts'
import { createEventHistory } from './control/activity/history.ts'
import { eventRoutes } from './control/activity/routes.ts'
import { createEventStreams } from './control/activity/stream.ts'
import { addressRoutes } from './control/addresses/routes.ts'
import { createAddressService } from './control/addresses/service.ts'
import { thisMachine } from './control/addresses/view.ts'
import { buildApi } from './control/api/app.ts'
import { listen, localUrl } from './control/api/listen.ts'
import { createControlMetrics } from './control/api/metrics.ts'
import { createRequestMetrics, type RequestMetrics } from './control/api/request-metrics.ts'
import { createAuthenticate } from './control/auth/authenticate.ts'
import { authRoutes } from './control/auth/routes.ts'
import { createSessionService } from './control/auth/sessions.ts'
import { forgetSessions } from './control/auth/store.ts'
import { tokenRoutes } from './control/auth/tokens/routes.ts'
import { createTokenService } from './control/auth/tokens/service.ts'
import { type CaObserver, createCaObserver } from './control/certificates/ca-observer.ts'
import { createDoctorIssuers } from './control/certificates/doctor-issuers.ts'
import { issuerRoutes } from './control/certificates/issuer-routes.ts'
import { createIssuerService } from './control/certificates/issuer-service.ts'
import { forgetBuckets } from './control/certificates/ledger-store.ts'
import { startCertificateManager } from './control/certificates/manager.ts'
import { openOrders } from './control/certificates/open-orders-store.ts'
import { createAccountService } from './control/certificates/operations/account-service.ts'
import { operationRoutes } from './control/certificates/operations/routes.ts'
import { createVersionService } from './control/certificates/operations/service.ts'
import { startOperationLoop } from './control/certificates/operations/work.ts'
import type { DnsProofs } from './control/certificates/order-run.ts'
import { requestRoutes } from './control/certificates/requests/routes.ts'
import { createRequestService } from './control/certificates/requests/service.ts'
import {
  forgetCertificates,
  forgetOperations,
  forgetOrders,
  forgetVersions,
} from './control/certificates/retention-store.ts'
import { certificateRoutes } from './control/certificates/routes.ts'
import { seedIssuer } from './control/certificates/seed.ts'
import { createCertificateService, retireCertificate, retryNow } from './control/certificates/service.ts'
import { uploadRoutes } from './control/certificates/uploads/routes.ts'
import { createUploadService } from './control/certificates/uploads/service.ts'
import { untilDatabaseAnswers } from './control/connect.ts'
import { type Db, openDatabase, write } from './control/db.ts'
import { createAsk } from './control/dns/ask.ts'
import { startDnsCleanup } from './control/dns/cleanup.ts'
import { createOpenProvider } from './control/dns/open-provider.ts'
import { createDnsRecords } from './control/dns/records.ts'
import { dnsProviderRoutes } from './control/dns/routes.ts'
import { createDnsProviderService } from './control/dns/service.ts'
import { createChecker } from './control/domains/check.ts'
import { createDoctor } from './control/domains/doctor/doctor.ts'
import { domainRoutes } from './control/domains/domain-routes.ts'
import { createDomainService } from './control/domains/domain-service.ts'
import { startRecheckLoop } from './control/domains/recheck.ts'
import { hostnameRoutes } from './control/domains/routes.ts'
import { createHostnameService } from './control/domains/service.ts'
import { ensureTrustedHostname } from './control/domains/trusted.ts'
import { installationHealth } from './control/edges/health.ts'
import { edgeRoutes } from './control/edges/routes.ts'
import { createEdgeService } from './control/edges/service.ts'
import { lastHttpsPort } from './control/edges/store.ts'
import { AppError } from './control/errors.ts'
import { forgetEvents } from './control/events/record.ts'
import { type Hints, openHints } from './control/jobs/hints.ts'
import type { Loop } from './control/jobs/loop.ts'
import { type Retention, startRetention } from './control/jobs/retention.ts'
import { readMailAccount } from './control/mail/account.ts'
import { mailRoutes } from './control/mail/routes.ts'
import { createMailService } from './control/mail/service.ts'
import { forgetMails } from './control/mail/store.ts'
import { migrate } from './control/migrate.ts'
import { forgetNotices } from './control/notices/store.ts'
import { openVault } from './control/open-vault.ts'
import { createDialler } from './control/outbound/dialler.ts'
import { createHttpCaller } from './control/outbound/http-call.ts'
import { createDnsClient } from './control/outbound/dns-client.ts'
import { planRoutes } from './control/plans/routes.ts'
import { createPlanService } from './control/plans/service.ts'
import { startLinkServer } from './control/publish/link-server.ts'
import { createLiveness } from './control/publish/liveness.ts'
import { startSequencer } from './control/publish/sequence.ts'
import { settingsRoutes } from './control/settings/routes.ts'
import { createSettingsService } from './control/settings/service.ts'
import { readPlatformSettings } from './control/settings/store.ts'
import { setupRoutes } from './control/setup/routes.ts'
import { createSetupLink, createSetupService, seedAdmin } from './control/setup/service.ts'
import { createBlobStore } from './control/sites/blobs.ts'
import { startBlobCollector } from './control/sites/collect.ts'
import { createCompressor } from './control/sites/compress.ts'
import { releaseRoutes } from './control/sites/release-routes.ts'
import { createReleaseService } from './control/sites/release-service.ts'
import { siteRoutes } from './control/sites/routes.ts'
import { createSiteService, ensurePanelSite } from './control/sites/service.ts'
import { memberRoutes } from './control/tenants/member-routes.ts'
import { createMemberService } from './control/tenants/members.ts'
import { tenantRoutes } from './control/tenants/routes.ts'
import { createTenantService } from './control/tenants/service.ts'
import { ensureSystemTenant } from './control/tenants/system.ts'
import { createLogTails } from './control/traffic/log-tails.ts'
import { trafficRoutes } from './control/traffic/routes.ts'
import { createTrafficService } from './control/traffic/service.ts'
import { forgetReceipts, forgetTraffic } from './control/traffic/store.ts'
import { userRoutes } from './control/users/routes.ts'
import { createUserService } from './control/users/service.ts'
import type { Vault } from './control/vault.ts'
import { startSeeing } from './control-seeing.ts'
import { linkSocketPath } from './process/link-path.ts'
import { takeLock } from './process/lock.ts'
import { createLog, type Logger } from './process/log.ts'
import { startMetricsServer } from './process/metrics-server.ts'
import { complaintOf } from './process/operator-error.ts'
import { replicaId } from './process/replica-id.ts'
import { refuseHalfRestore } from './process/restore-marker.ts'
import { readSettings, type Settings, SettingsError } from './process/settings.ts'
import type { ControlReady } from './process/start.ts'
import { stopRequest } from './process/stop-request.ts'
import { ownVersion } from './process/version.ts'

/**
 * Entry of the control plane and its only composition root: what a domain needs from one to its right
 * is handed over here, and nowhere else.
 */

/** What is opened once and used by all domains. */
type Base = {
  readonly settings: Settings
  readonly log: Logger
  readonly db: Db
  readonly vault: Vault
  readonly hints: Hints
  readonly version: string
  readonly panelHostname: string | null
  /** What this process measures for its metrics. */
  readonly calls: CaObserver
  readonly requests: RequestMetrics
}

type Step = () => Promise<unknown> | unknown

const root = fileURLToPath(new URL('..', import.meta.url))
const hooks = { retireCertificate, retryCertificate: retryNow }

const noDns: DnsProofs = {
  covers: () => Promise.resolve(false),
  present: () => Promise.reject(new Error('no DNS provider is set')),
  hasPersistRecord: () => Promise.resolve(false),
}

/** How long rows are kept that nothing works with any more; the lengths are in docs/adr/0010. */
const retentions: readonly Retention[] = [
  { what: 'sessions that have ended', keepDays: 30, forget: forgetSessions },
  { what: 'orders that have ended', keepDays: 90, forget: forgetOrders },
  { what: 'operations that have ended', keepDays: 90, forget: forgetOperations },
  { what: 'expired certificate versions', keepDays: 90, forget: forgetVersions },
  { what: 'certificates that nothing uses', keepDays: 400, forget: forgetCertificates },
  { what: 'what was spent of limits', keepDays: 30, forget: forgetBuckets },
  { what: 'events', keepDays: 400, forget: forgetEvents },
  { what: 'counters of requests', keepDays: 400, forget: forgetTraffic },
  { what: 'mails', keepDays: 30, forget: forgetMails },
  { what: 'notices', keepDays: 90, forget: forgetNotices },
  { what: 'receipts of counters', keepDays: 400, forget: forgetReceipts },
]

try {
  await main(readSettings(process.env))
} catch (error) {
  process.stderr.write(`nameplate control: ${error instanceof AppError ? error.detail : complaintOf(error)}\n`)
  process.exit(1)
}

async function main(settings: Settings): Promise<void> {
  const stops: Step[] = []
  const stopping = stopRequest()
  const stop = async (): Promise<never> => {
    for (const step of stops.splice(0).reverse()) await step()
    process.exit(0)
  }
  stopping.then(stop)
  const base = await openBase(settings, stops)
  await seed(base)
  const app = await compose(base, stops)
  const metrics = startMetricsServer({
    listen: settings.metricsListen,
    pages: {
      '/metrics': createControlMetrics(base.db, () => [...base.calls.families(), ...base.requests.families()]),
    },
    log: base.log,
  })
  stops.push(() => metrics.close())
  await listen(app, settings.apiListen)
  stops.push(() => app.close())
  process.send?.(await readyMessage(base))
}

/** Lock, database, migrations, master key: in the order in which each can still refuse without a trace. */
async function openBase(settings: Settings, stops: Step[]): Promise<Base> {
  const log = createLog('control', settings.logLevel)
  const panelHostname = readPanelHostname(settings)
  refuseHalfRestore(settings.dataDir)
  stops.push(takeLock(settings.dataDir, 'control'))
  const { databaseUrl } = settings
  if (databaseUrl === null)
    throw new SettingsError('DATABASE_URL: is not set; "nameplate start" and "nameplate control" bring a database')
  await untilDatabaseAnswers(databaseUrl)
  const applied = await migrate(databaseUrl)
  if (applied.length > 0) log.info({ applied }, 'the database was brought to this version')
  const db = openDatabase(databaseUrl)
  stops.push(() => db.$disconnect())
  const { vault, close } = await openVault({ databaseUrl, masterKeyFile: settings.masterKeyFile, log })
  stops.push(close)
  const hints = openHints(databaseUrl, log)
  stops.push(() => hints.close())
  const measures = { calls: createCaObserver(), requests: createRequestMetrics() }
  return { settings, log, db, vault, hints, version: ownVersion(), panelHostname, ...measures }
}

/** What the settings seed: first admin, first issuer, the panel as a site of its own listener. */
async function seed(base: Base): Promise<void> {
  const { settings, log, db, vault, version, panelHostname } = base
  await seedAdmin(db, { email: settings.adminEmail, password: settings.adminPassword }, log)
  await seedIssuer(db, vault, settings, log, version)
  if (panelHostname === null) return
  await write(db, {}, async (tx) => {
    const tenantId = await ensureSystemTenant(tx)
    const siteId = await ensurePanelSite(tx, { tenantId, upstream: localUrl(settings.apiListen) })
    await ensureTrustedHostname(tx, hooks, { tenantId, siteId, name: panelHostname })
  })
}

/** Wires the domains, starts their loops and makes the API. */
async function compose(base: Base, stops: Step[]): Promise<FastifyInstance> {
  const { settings, log, db, vault, hints, version, panelHostname } = base
  const shared = makeShared(base)
  const { blobs, liveness, streams, tails } = shared
  const loops = startLoops(base, shared)
  const link = await startLinkServer({
    db,
    vault,
    hints,
    log,
    socketPath: linkSocketPath(settings),
    group: settings.linkGroup,
    openBlob: blobs.open,
    onAck: liveness.acked,
    tails,
  })
  stops.push(
    () => link.close(),
    () => Promise.all(loops.map((loop) => loop.stop())),
    () => streams.close(),
  )
  return buildApi({
    log,
    db,
    vault,
    version,
    authenticate: createAuthenticate(db),
    webFolder: existsSync(join(root, 'web/build/200.html')) ? join(root, 'web/build') : null,
    isBehindListener: panelHostname !== null,
    health: async () => ({ ...(await installationHealth(db)), version }),
    requests: base.requests,
    routes: routesOf(base, shared),
  })
}

/** What loops and routes have in common. */
type Shared = ReturnType<typeof makeShared>

function makeShared({ settings, log, db, vault, hints }: Base) {
  const { dnsServers } = settings
  const reach = createReach(settings.outboundAllow)
  const dialler = createDialler({ reach, dnsServers })
  const call = createHttpCaller({ lookups: dialler, reach })
  const dns = createDnsClient({ reach, dnsServers })
  const openProvider = createOpenProvider(vault, { lookups: dialler, reach, call })
  return {
    reach,
    dialler,
    ask: createAsk({ lookups: dialler, reach, dnsServers }),
    dnsRecords: createDnsRecords({ db, open: openProvider }),
    doctor: createDoctor({ db, dialler, dns, publicTargets: () => readPlatformSettings(db) }),
    checker: createChecker({ db, dialler, hooks }),
    blobs: createBlobStore(join(settings.dataDir, 'blobs')),
    liveness: createLiveness(db),
    streams: createEventStreams({ db, hints, log }),
    tails: createLogTails({ db, log }),
    mailAccount: async () => readMailAccount(db, vault, (await readPlatformSettings(db)).mail),
  }
}

function startLoops(base: Base, shared: Shared): Pick<Loop, 'stop'>[] {
  const { settings, log, db, vault, hints, version, calls } = base
  const { blobs, checker, liveness, dnsRecords: records } = shared
  return [
    startBlobCollector({ db, blobs, log }),
    startRetention({ db, log, retentions }),
    startSequencer({ db, hints, log }),
    startRecheckLoop({ db, checker, hints, log }),
    startDnsCleanup({ db, records, hints, log, isOrderOpen: (ids) => openOrders(db, ids) }),
    ...startSeeing({ ...base, ...shared, liveHostnames: shared.liveness.liveHostnames }),
    startCertificateManager({
      db,
      vault,
      hints,
      log,
      version,
      awaitAcked: liveness.awaitAcked,
      recheckBeforeOrder: checker.recheckBeforeOrder,
      preflight: () => Promise.resolve(null),
      whereabouts: () => Promise.resolve('unknown'),
      dns: noDns,
      holder: replicaId(settings.dataDir),
      observer: calls,
    }),
    startOperationLoop({ db, vault, hints, log, version }),
  ]
}

function routesOf({ db, vault, version, panelHostname }: Base, shared: Shared): FastifyPluginAsyncTypebox[] {
  const { reach, dialler, doctor, ask, dnsRecords: records, checker, blobs, liveness, streams, tails } = shared
  const doctorIssuers = createDoctorIssuers({ db, version })
  const sessions = createSessionService(db, () => vault.deriveAll('refresh'))
  const hostnameDeps = {
    db,
    checker,
    hooks,
    dialler,
    liveHostnames: liveness.liveHostnames,
    reservedNames: panelHostname === null ? [] : [panelHostname],
    doctor,
    issuersForDiagnosis: () => doctorIssuers(['http-01', 'tls-alpn-01']),
  }
  return [
    setupRoutes(createSetupService(db, sessions)),
    authRoutes(db, sessions),
    tokenRoutes(createTokenService(db)),
    planRoutes(createPlanService(db)),
    tenantRoutes(createTenantService(db)),
    memberRoutes(createMemberService(db)),
    userRoutes(createUserService(db)),
    settingsRoutes(createSettingsService(db, vault, () => lastHttpsPort(db))),
    mailRoutes(createMailService({ account: shared.mailAccount })),
    eventRoutes(createEventHistory(db), streams),
    edgeRoutes(createEdgeService({ db })),
    siteRoutes(createSiteService({ db, reach })),
    trafficRoutes(createTrafficService(db), tails),
    releaseRoutes(createReleaseService({ db, blobs, compress: createCompressor() })),
    addressRoutes(createAddressService({ db, machine: thisMachine })),
    hostnameRoutes(createHostnameService(hostnameDeps)),
    domainRoutes(createDomainService(hostnameDeps)),
    certificateRoutes(createCertificateService({ db, vault, dns: noDns })),
    dnsProviderRoutes(createDnsProviderService({ db, vault, reach, records, ask })),
    issuerRoutes(createIssuerService({ db, vault, version })),
    uploadRoutes(createUploadService({ db, vault })),
    requestRoutes(createRequestService({ db, vault })),
    operationRoutes(createVersionService({ db, dns: noDns }), createAccountService({ db, vault })),
  ]
}

async function readyMessage({ db, settings }: Base): Promise<ControlReady> {
  const uiUrl = `http://localhost:${settings.apiListen.port}`
  const token = await createSetupLink(db)
  return { type: 'ready', uiUrl, setupUrl: token === null ? null : `${uiUrl}/setup#${token}` }
}

function readPanelHostname({ panelHostname }: Settings): string | null {
  if (panelHostname === null) return null
  const result = normalizeName(panelHostname)
  if (!result.ok) throw new SettingsError(`NAMEPLATE_PANEL_HOSTNAME: "${panelHostname}" is not a host name`)
  return result.name
}
