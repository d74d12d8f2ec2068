import { type Db, write } from '../db.ts'
import type { LiveHostnames } from '../domains/view.ts'
import { recordEvent } from '../events/record.ts'
import type { Dialler } from '../outbound/dialler.ts'
import { NoRouteError, peekCertificate } from '../outbound/peek-certificate.ts'
import { judgeSights, type Sight, type Verdict } from './judge.ts'
import { nextProbeMs, type ProbeStanding, standingAfter } from './schedule.ts'
import { type ClaimedProbe, findProbed, forgetProbe, type ProbedHostname, saveProbe } from './store.ts'
import { probeTargets } from './targets.ts'

/** A handshake takes a round trip or two; a visitor would have gone by then. */
const HANDSHAKE_MS = 8_000
/** Stands for any label where a wildcard is looked at. */
const PROBE_LABEL = 'nameplate-check'

/** What a look needs; the functions come from other domains. */
export type LookDeps = {
  readonly db: Db
  readonly dialler: Pick<Dialler, 'lookupA' | 'lookupAaaa'>
  readonly reach: (address: string) => boolean
  readonly liveHostnames: LiveHostnames
  readonly publicAddresses: () => Promise<readonly string[]>
  /** Where the edges answer HTTPS. */
  readonly httpsPort: () => Promise<number>
  readonly now: () => Date
  readonly random: () => number
}

/** Looks at one hostname as a visitor would, and keeps what was seen with the alarm that follows from it. */
export async function lookAtHostname(deps: LookDeps, claimed: ClaimedProbe): Promise<void> {
  const hostname = await findProbed(deps.db, claimed.hostnameId)
  if (hostname === null) return forgetProbe(deps.db, claimed)
  const sights = await look(deps, hostname)
  const { id, name, siteId, active } = hostname
  const live = await deps.liveHostnames([{ id, name, siteId, fingerprint: active }])
  const verdict = judgeSights(sights, { ...hostname, isLive: live.has(id) }, deps.now())
  await keep(deps, claimed, hostname, verdict)
}

async function look(deps: LookDeps, hostname: ProbedHostname): Promise<Sight[]> {
  const serverName = hostname.name.replace(/^\*/, PROBE_LABEL)
  const [a, aaaa, publicAddresses, port] = await Promise.all([
    deps.dialler.lookupA(serverName),
    deps.dialler.lookupAaaa(serverName),
    deps.publicAddresses(),
    deps.httpsPort(),
  ])
  const found = [a, aaaa].flatMap((result) => (result.kind === 'found' ? result.values : []))
  const targets = probeTargets({ found, publicAddresses, dedicated: hostname.dedicated, reach: deps.reach })
  return Promise.all(targets.map((address) => sightOf(address, port, serverName)))
}

async function sightOf(address: string, port: number, serverName: string): Promise<Sight> {
  try {
    const { fingerprint } = await peekCertificate({ address, port, serverName }, HANDSHAKE_MS)
    return { address, kind: 'served', fingerprint }
  } catch (error) {
    if (error instanceof NoRouteError) return { address, kind: 'no-route' }
    return { address, kind: 'silent', detail: (error as Error).message }
  }
}

async function keep(
  { db, now, random }: LookDeps,
  claimed: ClaimedProbe,
  hostname: ProbedHostname,
  verdict: Verdict,
): Promise<void> {
  const standing = standingAfter(hostname, verdict)
  const at = now()
  const outcome = {
    ...standing,
    at,
    servedFingerprint: verdict.servedFingerprint,
    detail: verdict.detail,
    dueAt: new Date(at.getTime() + nextProbeMs(standing, random())),
  }
  await write(db, {}, async (tx) => {
    if (!(await saveProbe(tx, claimed, outcome))) return
    const action = actionOf(hostname.state, standing)
    if (action === null) return
    await recordEvent(tx, {
      actor: 'system',
      tenantId: hostname.tenantId,
      action,
      subjectId: hostname.certificateId,
      subjectName: hostname.name,
      detail: {
        hostnameId: hostname.id,
        names: [hostname.name],
        detail: verdict.detail,
        servedFingerprint: verdict.servedFingerprint,
        expectedFingerprint: hostname.active,
      },
    })
  })
}

function actionOf(before: string, { state }: ProbeStanding): string | null {
  if (state === 'failed' && before !== 'failed') return 'certificate.probe-failed'
  return before === 'failed' && state === 'ok' ? 'certificate.probe-recovered' : null
}
