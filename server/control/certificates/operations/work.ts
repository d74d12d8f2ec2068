import { faultPoint } from '../../../process/fault-point.ts'
import type { Logger } from '../../../process/log.ts'
import { type Db, type Tx, write } from '../../db.ts'
import { recordEvent } from '../../events/record.ts'
import type { Hints } from '../../jobs/hints.ts'
import { type Loop, startLoop } from '../../jobs/loop.ts'
import type { Vault } from '../../vault.ts'
import { IssuerProblem } from '../issuer.ts'
import { allIssuers, type IssuerRow } from '../issuer-store.ts'
import { retryDelayMs } from '../schedule.ts'
import { deactivateAt, rollOverAt } from './account-change.ts'
import { endAccount, findAccount, swapKeys } from './account-store.ts'
import { type AcmeAdmin, createAcmeAdmin } from './acme-admin.ts'
import { claimOperation, endStep, msUntilOperation, type OperationRow, type Problem } from './operation-store.ts'
import { findVersion, markRevoked } from './revocation-store.ts'
import { FOREIGN_CA, isFinal, revokeAtCa } from './revoke.ts'
import type { RevocationReason } from './schema.ts'

/** Longest wait between passes, for hints that were lost. */
const INTERVAL_MS = 5_000
/** A CA that refuses is asked again so often, since some refusals are a fault of the moment. */
const MAX_REFUSALS = 5
/** Longest text of a CA that is kept. */
const MAX_DETAIL = 600

/** What the loop needs. */
export type OperationDeps = {
  readonly db: Db
  readonly vault: Vault
  readonly hints: Hints
  readonly log: Logger
  /** Nameplate's version, for the User-Agent. */
  readonly version: string
  readonly now?: () => Date
}

type Work = OperationDeps & { readonly adminOf: (issuer: IssuerRow) => AcmeAdmin }

/** Starts the loop that tells CAs what is wanted besides orders: revocations, key changes, ends of accounts. Any number may run. */
export function startOperationLoop(deps: OperationDeps): Loop {
  return startLoop({
    name: 'operations',
    topic: 'certificates',
    hints: deps.hints,
    log: deps.log,
    intervalMs: INTERVAL_MS,
    async pass(signal) {
      const admins = new Map<string, AcmeAdmin>()
      const work = { ...deps, adminOf: (issuer: IssuerRow) => adminOf(deps, admins, issuer) }
      try {
        while (!signal.aborted) {
          const row = await claimOperation(deps.db)
          if (row === null) return msUntilOperation(deps.db)
          await step(work, row)
        }
        return null
      } finally {
        for (const admin of admins.values()) admin.close()
      }
    },
  })
}

function adminOf({ version }: OperationDeps, admins: Map<string, AcmeAdmin>, issuer: IssuerRow): AcmeAdmin {
  const present = admins.get(issuer.id)
  if (present !== undefined) return present
  const { directoryUrl, trustRootPem } = issuer
  if (directoryUrl === null) throw new Error(`issuer ${issuer.id} has no directory`)
  const admin = createAcmeAdmin({ directoryUrl, trustRootPem, version })
  admins.set(issuer.id, admin)
  return admin
}

/** One attempt, and what it leads to in one transaction. */
async function step(work: Work, row: OperationRow): Promise<void> {
  try {
    const finish = await attempt(work, row)
    await write(work.db, {}, async (tx) => {
      if (await endStep(tx, row, { state: 'succeeded', problem: null, dueAt: null })) await finish(tx)
    })
  } catch (error) {
    await fail(work, row, error)
  }
}

/** Tells the CA; the answer writes what follows from it. */
async function attempt(work: Work, row: OperationRow): Promise<(tx: Tx) => Promise<void>> {
  const issuers = await allIssuers(work.db)
  if (row.kind === 'revoke') return revoke(work, row, issuers)
  const account = row.accountId === null ? null : await findAccount(work.db, row.accountId)
  const issuer = issuers.find(({ id }) => id === row.issuerId)
  if (account === null || issuer === undefined) return () => Promise.resolve()
  const admin = work.adminOf(issuer)
  if (row.kind === 'rollover') {
    await rollOverAt(admin, work.vault, account)
    return async (tx) => {
      await swapKeys(tx, account)
      await tellIssuer(tx, issuer, 'rolled-over')
    }
  }
  await deactivateAt(admin, work.vault, account)
  return async (tx) => {
    await endAccount(tx, account.id)
    await tellIssuer(tx, issuer, 'account-deactivated')
  }
}

async function revoke(
  work: Work,
  row: OperationRow,
  issuers: readonly IssuerRow[],
): Promise<(tx: Tx) => Promise<void>> {
  const version = row.versionId === null ? null : await findVersion(work.db, row.versionId)
  if (version === null) return () => Promise.resolve()
  await revokeAtCa(work, version, row.reason as RevocationReason, issuers)
  faultPoint('revocation.told')
  return async (tx) => {
    await markRevoked(tx, version.id)
    await tellCertificate(tx, row, version.certificate, 'revoked', { fingerprint: version.fingerprint })
  }
}

/** A refusal is tried a few times, all else for as long as it takes: what is wanted stays wanted. */
async function fail(work: Work, row: OperationRow, error: unknown): Promise<void> {
  if (!(error instanceof IssuerProblem))
    work.log.error({ err: error, operationId: row.id }, 'an operation failed on our side')
  const failures = row.failures + 1
  const isForeign = error instanceof IssuerProblem && error.type === FOREIGN_CA
  const hasEnded = isForeign || (isFinal(error) && failures >= MAX_REFUSALS)
  const asked = error instanceof IssuerProblem ? error.retryAfterMs : null
  const waitMs = retryDelayMs({ kind: 'soon', failures, retryAfterMs: asked, remainingMs: null }, Math.random)
  const now = work.now?.() ?? new Date()
  const problem = problemOf(error)
  await write(work.db, {}, async (tx) => {
    const dueAt = hasEnded ? null : new Date(now.getTime() + waitMs)
    if (!(await endStep(tx, row, { state: hasEnded ? 'failed' : 'running', problem, dueAt }))) return
    const version = row.versionId === null ? null : await findVersion(tx, row.versionId)
    if (!hasEnded || version === null) return
    // It is not served any more in any case: that is ours to decide.
    await markRevoked(tx, version.id)
    await tellCertificate(tx, row, version.certificate, 'revocation-failed', problem)
  })
  work.log.warn({ operationId: row.id, kind: row.kind, code: problem.code, hasEnded }, 'a CA was not told yet')
}

function problemOf(error: unknown): Problem {
  if (!(error instanceof IssuerProblem))
    return { code: 'INTERNAL', detail: 'Something went wrong on our side; it is tried again.' }
  if (error.type === FOREIGN_CA)
    return {
      code: 'REVOKE_AT_YOUR_CA',
      detail:
        'No CA that is set up here has issued this certificate: revoke it where you bought it. Here it is replaced and served no more.',
    }
  const isRefused = error.status >= 400 && error.status < 500
  const detail = `The CA ${isRefused ? 'refused' : 'could not be told yet'}: ${error.detail}`.slice(0, MAX_DETAIL)
  return { code: isRefused ? 'REFUSED' : 'ISSUER_UNREACHABLE', detail }
}

async function tellIssuer(tx: Tx, { id, name }: IssuerRow, what: string): Promise<void> {
  await recordEvent(tx, { actor: 'system', tenantId: null, action: `issuer.${what}`, subjectId: id, subjectName: name })
}

async function tellCertificate(
  tx: Tx,
  row: OperationRow,
  certificate: { readonly id: string; readonly tenantId: string; readonly names: readonly string[] },
  what: string,
  detail: Readonly<Record<string, string>>,
): Promise<void> {
  const { id, tenantId, names } = certificate
  const event = { actor: 'system', tenantId, action: `certificate.${what}`, subjectId: id, subjectName: names[0] ?? '' }
  await recordEvent(tx, { ...event, detail: { ...detail, reason: row.reason ?? '', names: [...names] } })
}
