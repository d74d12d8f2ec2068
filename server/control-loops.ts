import { forgetSessions } from './control/auth/store.ts'
import { forgetBuckets } from './control/certificates/ledger-store.ts'
import { startCertificateManager } from './control/certificates/manager.ts'
import { openOrders } from './control/certificates/open-orders-store.ts'
import { startOperationLoop } from './control/certificates/operations/work.ts'
import { createPreflight } from './control/certificates/preflight.ts'
import {
  forgetCertificates,
  forgetOperations,
  forgetOrders,
  forgetVersions,
} from './control/certificates/retention-store.ts'
import { startDnsCleanup } from './control/dns/cleanup.ts'
import { startRecheckLoop } from './control/domains/recheck.ts'
import { forgetEvents } from './control/events/record.ts'
import type { Loop } from './control/jobs/loop.ts'
import { type Retention, startRetention } from './control/jobs/retention.ts'
import { forgetMails } from './control/mail/store.ts'
import { forgetNotices } from './control/notices/store.ts'
import { startSequencer } from './control/publish/sequence.ts'
import { startBlobCollector } from './control/sites/collect.ts'
import { forgetReceipts, forgetTraffic } from './control/traffic/store.ts'
import { startSeeing } from './control-seeing.ts'
import type { Base, Shared } from './control-shared.ts'
import { replicaId } from './process/replica-id.ts'

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

/** Starts what compares wanted with actual. */
export function startLoops(base: Base, shared: Shared): Pick<Loop, 'stop'>[] {
  const { settings, log, db, vault, hints, version, calls } = base
  const { blobs, checker, liveness, dnsRecords: records, doctor, doctorIssuers, proofs } = shared
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
      preflight: createPreflight({ doctor, doctorIssuers, provesByDns: proofs.provesHostname }),
      whereabouts: (hostnameId) => doctor.whereabouts({ hostnameId }),
      dns: proofs,
      holder: replicaId(settings.dataDir),
      observer: calls,
    }),
    startOperationLoop({ db, vault, hints, log, version }),
  ]
}
