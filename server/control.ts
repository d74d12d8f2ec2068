import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { FastifyInstance } from 'fastify'
import { normalizeName } from './contract/names.ts'
import { buildApi } from './control/api/app.ts'
import { listen, localUrl } from './control/api/listen.ts'
import { createControlMetrics } from './control/api/metrics.ts'
import { createRequestMetrics } from './control/api/request-metrics.ts'
import { createAuthenticate } from './control/auth/authenticate.ts'
import { createCaObserver } from './control/certificates/ca-observer.ts'
import { seedIssuer } from './control/certificates/seed.ts'
import { untilDatabaseAnswers } from './control/connect.ts'
import { openDatabase, write } from './control/db.ts'
import { ensureTrustedHostname } from './control/domains/trusted.ts'
import { installationHealth } from './control/edges/health.ts'
import { AppError } from './control/errors.ts'
import { openHints } from './control/jobs/hints.ts'
import { migrate } from './control/migrate.ts'
import { openVault } from './control/open-vault.ts'
import { startLinkServer } from './control/publish/link-server.ts'
import { createSetupLink, seedAdmin } from './control/setup/service.ts'
import { ensurePanelSite } from './control/sites/service.ts'
import { ensureSystemTenant } from './control/tenants/system.ts'
import { startLoops } from './control-loops.ts'
import { routesOf } from './control-routes.ts'
import { type Base, hooks, makeShared } from './control-shared.ts'
import { linkSocketPath } from './process/link-path.ts'
import { takeLock } from './process/lock.ts'
import { createLog } from './process/log.ts'
import { startMetricsServer } from './process/metrics-server.ts'
import { complaintOf } from './process/operator-error.ts'
import { refuseHalfRestore } from './process/restore-marker.ts'
import { readSettings, type Settings, SettingsError } from './process/settings.ts'
import type { ControlReady } from './process/start.ts'
import { stopRequest } from './process/stop-request.ts'
import { ownVersion } from './process/version.ts'

/**
 * Entry of the control plane and its only composition root: what a domain needs from one to its right
 * is handed over here, and nowhere else.
 */

type Step = () => Promise<unknown> | unknown

const root = fileURLToPath(new URL('..', import.meta.url))

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
