import type { CaObserver } from './control/certificates/ca-observer.ts'
import type { Db } from './control/db.ts'
import { lastHttpsPort } from './control/edges/store.ts'
import type { Loop } from './control/jobs/loop.ts'
import { type MailLoopDeps, startMailLoop } from './control/mail/outbox.ts'
import { startNoticeLoop } from './control/notices/loop.ts'
import { type ProbeLoopDeps, startProbeLoop } from './control/probe/loop.ts'
import { readPlatformSettings } from './control/settings/store.ts'
import type { Logger } from './process/log.ts'

/** HTTPS without a port in its URL. */
const USUAL_PORT = 443

/** What the loops that look and tell need from the composition root. */
export type SeeingDeps = Pick<ProbeLoopDeps, 'dialler' | 'reach' | 'liveHostnames'> & {
  readonly db: Db
  readonly log: Logger
  readonly calls: Pick<CaObserver, 'clockSkew'>
  readonly mailAccount: MailLoopDeps['account']
  readonly panelHostname: string | null
}

/** The part of the composition root that starts mail, notices and the probe from outside. */
export function startSeeing(deps: SeeingDeps): Loop[] {
  const { db, log, calls, mailAccount, panelHostname } = deps
  const settings = () => readPlatformSettings(db)
  const httpsPort = async () => (await lastHttpsPort(db)) ?? USUAL_PORT
  return [
    startMailLoop({ db, log, account: mailAccount }),
    startNoticeLoop({
      db,
      log,
      clockSkew: calls.clockSkew,
      hasMail: async () => (await settings()).mail !== null,
      panelUrl: async () => (panelHostname === null ? null : urlOf(panelHostname, await httpsPort())),
    }),
    startProbeLoop({
      ...deps,
      httpsPort,
      publicAddresses: async () => (await settings()).publicAddresses,
      isEnabled: async () => (await settings()).probe.isEnabled,
    }),
  ]
}

function urlOf(host: string, port: number): string {
  return `https://${host}${port === USUAL_PORT ? '' : `:${port}`}`
}
