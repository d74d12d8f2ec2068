import type { KeyObject } from 'node:crypto'
import { type Actor, actorName } from '../../auth/access.ts'
import { hint, type Tx } from '../../db.ts'
import { AppError, type FieldProblem } from '../../errors.ts'
import { recordEvent } from '../../events/record.ts'
import type { Vault } from '../../vault.ts'
import { certificateKeyContext } from '../store.ts'
import { coverageOf } from './cover.ts'
import { type Inspection, inspectUpload, type UploadInput } from './inspect.ts'
import * as store from './upload-store.ts'

/** What an accepted upload becomes. */
export type Acceptance = {
  readonly actor: Actor
  readonly tenantId: string
  readonly fallbackToAcme: boolean
  readonly hostnameIds: readonly string[] | undefined
  /** The certificate whose next version it is; null makes a new one. */
  readonly certificateId: string | null
}

/** Opens and checks what was sent, before any transaction. Throws INVALID_INPUT when it is neither PEM nor PKCS#12, or both. */
export async function inspectInput(
  input: UploadInput,
  now: Date,
  ownKey: KeyObject | null = null,
): Promise<Inspection> {
  const hasPem = input.certificatePem !== undefined
  if (hasPem === (input.pkcs12Base64 !== undefined))
    throw new AppError('INVALID_INPUT', 'Send either certificatePem with privateKeyPem, or pkcs12Base64.', {
      errors: [{ field: 'certificatePem', detail: 'is required, or pkcs12Base64 in its place' }],
    })
  return inspectUpload(input, now, ownKey)
}

/**
 * Stores and activates an upload in the caller's transaction: version, pointer and hostnames at once, so that
 * the edges see the old or the new. All that is wrong is listed in one CERTIFICATE_INVALID and nothing is
 * stored. Returns the certificate's id.
 */
export async function acceptUpload(tx: Tx, vault: Vault, inspection: Inspection, wanted: Acceptance): Promise<string> {
  const { tenantId, certificateId } = wanted
  const { leaf, material } = inspection
  const proven = await store.lockProvenHostnames(tx, tenantId)
  const present = certificateId === null ? [] : proven.filter((row) => row.certificateId === certificateId)
  const problems = [...inspection.problems]
  const coverage = leaf === null ? null : coverageOf(leaf.names, proven, wanted.hostnameIds, present)
  problems.push(...(coverage?.problems ?? []))
  if (leaf !== null) problems.push(...(await refusals(tx, leaf, wanted)))
  if (problems.length > 0 || leaf === null || material === null || coverage === null) throw invalid(problems)

  const { chain, keyPem } = material
  const keySealed = vault.seal(keyPem, certificateKeyContext(chain.fingerprint))
  const id = certificateId ?? (await store.insertUploaded(tx, { ...wanted, names: chain.names }))
  const stored = await store.findByFingerprint(tx, chain.fingerprint)
  if (stored === null) await store.activateUploaded(tx, id, { chain, keySealed })
  else await store.useVersion(tx, id, stored.versionId, [...chain.names])
  await store.cancelFallback(tx, id)
  await store.useUploaded(tx, id, coverage.hostnames)
  await tell(tx, wanted, id, inspection, coverage.hostnames)
  await hint(tx, 'certificates')
  return id
}

/** What only the database knows: barred keys, and the very certificate being here already. */
async function refusals(
  tx: Tx,
  leaf: NonNullable<Inspection['leaf']>,
  { tenantId, certificateId }: Acceptance,
): Promise<FieldProblem[]> {
  const problems: FieldProblem[] = []
  if (await store.isBarred(tx, leaf.spkiFingerprint))
    problems.push({
      field: 'privateKeyPem',
      detail: 'This key was reported as compromised and is barred for ever. Make a new key.',
    })
  const stored = await store.findByFingerprint(tx, leaf.fingerprint)
  if (stored?.isRevoked === true)
    problems.push({ field: 'certificatePem', detail: 'This certificate was revoked. Ask your CA for a new one.' })
  else if (stored !== null && stored.certificateId !== certificateId) {
    const where = stored.tenantId === tenantId ? ` as ${stored.certificateId}` : ''
    problems.push({ field: 'certificatePem', detail: `This very certificate is stored already${where}.` })
  }
  return problems
}

async function tell(
  tx: Tx,
  { actor, tenantId, certificateId }: Acceptance,
  id: string,
  { material }: Inspection,
  hostnames: readonly store.CoverableHostname[],
): Promise<void> {
  const chain = material?.chain
  const detail = {
    names: [...(chain?.names ?? [])],
    hostnames: hostnames.map(({ name }) => name),
    fingerprint: chain?.fingerprint ?? '',
    notAfter: chain?.notAfter.toISOString() ?? '',
    isReplacement: certificateId !== null,
  }
  const event = { actor: actorName(actor), tenantId, action: 'certificate.uploaded' }
  await recordEvent(tx, { ...event, subjectId: id, subjectName: chain?.names[0] ?? '', detail })
}

function invalid(problems: readonly FieldProblem[]): AppError {
  const errors = problems.slice(0, 30)
  return new AppError('CERTIFICATE_INVALID', errors.map(({ detail }) => detail).join(' '), { errors })
}
