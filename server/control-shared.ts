import { join } from 'node:path'
import { createReach } from './contract/reach.ts'
import { createEventStreams } from './control/activity/stream.ts'
import type { RequestMetrics } from './control/api/request-metrics.ts'
import type { CaObserver } from './control/certificates/ca-observer.ts'
import { createDnsProofs } from './control/certificates/dns-proofs.ts'
import { createDoctorIssuers } from './control/certificates/doctor-issuers.ts'
import { retireCertificate, retryNow } from './control/certificates/service.ts'
import type { Db } from './control/db.ts'
import { createAsk } from './control/dns/ask.ts'
import { createOpenProvider } from './control/dns/open-provider.ts'
import { createDnsRecords } from './control/dns/records.ts'
import { createDnsSolver } from './control/dns/solver.ts'
import { createChecker } from './control/domains/check.ts'
import { createDoctor } from './control/domains/doctor/doctor.ts'
import type { Hints } from './control/jobs/hints.ts'
import { readMailAccount } from './control/mail/account.ts'
import { createDialler } from './control/outbound/dialler.ts'
import { createDnsClient } from './control/outbound/dns-client.ts'
import { createHttpCaller } from './control/outbound/http-call.ts'
import { createLiveness } from './control/publish/liveness.ts'
import { readPlatformSettings } from './control/settings/store.ts'
import { createBlobStore } from './control/sites/blobs.ts'
import { createLogTails } from './control/traffic/log-tails.ts'
import type { Vault } from './control/vault.ts'
import type { Logger } from './process/log.ts'
import type { Settings } from './process/settings.ts'

/** What is opened once and used by all domains. */
export type Base = {
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

/** For domains, what certificates do when a hostname changes. */
export const hooks = { retireCertificate, retryCertificate: retryNow }

/** What loops and routes have in common. */
export type Shared = ReturnType<typeof makeShared>

/** Opens nothing and starts nothing yet. */
export function makeShared({ settings, log, db, vault, hints, version }: Base) {
  const { dnsServers } = settings
  const reach = createReach(settings.outboundAllow)
  const dialler = createDialler({ reach, dnsServers })
  const call = createHttpCaller({ lookups: dialler, reach })
  const dns = createDnsClient({ reach, dnsServers })
  const openProvider = createOpenProvider(vault, { lookups: dialler, reach, call })
  const ask = createAsk({ lookups: dialler, reach, dnsServers })
  const dnsRecords = createDnsRecords({ db, open: openProvider })
  const solver = createDnsSolver({ db, records: dnsRecords, ask, lookups: dialler })
  const doctorIssuers = createDoctorIssuers({ db, version })
  return {
    reach,
    dialler,
    ask,
    dnsRecords,
    doctorIssuers,
    proofs: createDnsProofs({ db, solver, doctorIssuers }),
    doctor: createDoctor({ db, dialler, dns, publicTargets: () => readPlatformSettings(db) }),
    checker: createChecker({ db, dialler, hooks }),
    blobs: createBlobStore(join(settings.dataDir, 'blobs')),
    liveness: createLiveness(db),
    streams: createEventStreams({ db, hints, log }),
    tails: createLogTails({ db, log }),
    mailAccount: async () => readMailAccount(db, vault, (await readPlatformSettings(db)).mail),
  }
}
