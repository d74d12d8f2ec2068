import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Payloads, ServingRecord, TlsAlpn01Record } from '../../contract/records.ts'
import { sealTo } from '../../contract/sealing.ts'
import type { Logger } from '../../process/log.ts'
import type { Db } from '../db.ts'
import { UnknownKeyError, type Vault } from '../vault.ts'
import { ticketLabel } from './compile.ts'
import { readChallengeKeys, readSealedKeys, type StoredRecord } from './store.ts'

/** Records that are sealed in one turn of the event loop: one takes about 0.2 ms. */
const TURN = 25

/** What sealing needs. */
export type SealDeps = { readonly db: Db; readonly vault: Vault; readonly log: Logger }

/**
 * Fills in what is secret, sealed to one edge. A certificate whose key does not open is sent without,
 * so that the edge reports it by itself; one that was deleted meanwhile is left out, its delete follows. Throws
 * `UnknownKeyError` while this replica lacks a key of the vault.
 */
export async function sealRecords(
  deps: SealDeps,
  publicKey: Uint8Array,
  records: readonly StoredRecord[],
): Promise<ServingRecord[]> {
  const needed = records.filter(({ kind, payload }) => kind === 'certificate' && payload !== null)
  const sealedKeys = await readSealedKeys(
    deps.db,
    needed.map(({ key }) => key),
  )
  const challengeKeys = await readChallengeKeys(deps.db, alpnNames(records))
  const sealed: ServingRecord[] = []
  for (const [index, record] of records.entries()) {
    if (index % TURN === TURN - 1) await nextTurn()
    const filled =
      record.kind === 'challenge'
        ? sealChallenge(deps, publicKey, record, challengeKeys)
        : sealOne(deps, publicKey, record, sealedKeys)
    if (filled !== null) sealed.push(filled)
  }
  return sealed
}

function sealOne(
  { vault, log }: SealDeps,
  publicKey: Uint8Array,
  record: StoredRecord,
  sealedKeys: ReadonlyMap<string, Uint8Array>,
): ServingRecord | null {
  if (record.payload === null) return record as ServingRecord
  if (record.kind === 'ticket-key') {
    const payload = record.payload as Payloads['ticket-key']
    const secret = vault.derive(ticketLabel(payload.epoch), payload.keyId)
    const sealedSecret = sealTo(publicKey, secret, 'ticket-key').toString('base64')
    return { ...record, kind: 'ticket-key', payload: { ...payload, sealedSecret } }
  }
  if (record.kind !== 'certificate') return record as ServingRecord
  const keySealed = sealedKeys.get(record.key)
  if (keySealed === undefined) return null
  const payload = record.payload as Payloads['certificate']
  try {
    const key = vault.unseal(keySealed, `certificate-key:${record.key}`)
    const sealedKey = sealTo(publicKey, key, record.key).toString('base64')
    key.fill(0)
    return { ...record, kind: 'certificate', payload: { ...payload, sealedKey } }
  } catch (error) {
    // This replica has not learnt the key yet: the edge connects again and asks once more.
    if (error instanceof UnknownKeyError) throw error
    log.error({ err: error, fingerprint: record.key }, 'the key of a certificate does not open; it cannot be served')
    return { ...record, kind: 'certificate', payload }
  }
}

function alpnNames(records: readonly StoredRecord[]): string[] {
  return records.flatMap(({ kind, payload }) =>
    kind === 'challenge' && payload !== null && 'certificatePem' in payload ? [(payload as TlsAlpn01Record).name] : [],
  )
}

/** The key of a tls-alpn-01 certificate; one whose order has ended meanwhile is left out, its delete follows. */
function sealChallenge(
  { vault, log }: SealDeps,
  publicKey: Uint8Array,
  record: StoredRecord,
  challengeKeys: ReadonlyMap<string, Uint8Array>,
): ServingRecord | null {
  if (record.payload === null || !('certificatePem' in record.payload)) return record as ServingRecord
  const payload = record.payload as TlsAlpn01Record
  const keySealed = challengeKeys.get(payload.certificatePem)
  if (keySealed === undefined) return null
  try {
    const key = vault.unseal(keySealed, `challenge-key:${payload.name}`)
    const sealedKey = sealTo(publicKey, key, record.key).toString('base64')
    key.fill(0)
    return { ...record, kind: 'challenge', payload: { ...payload, sealedKey } }
  } catch (error) {
    if (error instanceof UnknownKeyError) throw error
    log.error({ err: error, name: payload.name }, 'the key of a challenge does not open; it cannot be answered')
    return { ...record, kind: 'challenge', payload }
  }
}
