import { setImmediate as nextTurn } from 'node:timers/promises'
import type { SiteRecord } from '../server/contract/records.ts'
import type { SealKeyPair } from '../server/contract/sealing.ts'
import type { EdgeStore } from '../server/listener/edge-store.ts'
import {
  certificateRecord,
  nameRecord,
  type RigRecord,
  siteRecord,
  ticketKeyRecord,
} from '../server/test/listener-rig.ts'
import type { Forged } from './forge.ts'

/** Sites in one transaction. */
const BATCH = 1_000

/** What an edge store is filled with. */
export type EdgeContent = {
  readonly sites: number
  readonly nameOf: (number: number) => string
  /** How many certificates there are; names beyond share them, round and round. */
  readonly certificates: number
  readonly certificateOf: (number: number) => Forged
  readonly site: Partial<SiteRecord>
}

/** The id of the site with a number. */
export function siteId(number: number): string {
  return `00000000-0000-7000-8000-${String(number).padStart(12, '0')}`
}

/**
 * Writes the records of many sites into an edge's store, as its link would: sealed to this edge, in batches. Between
 * two of them others have their turn, signals among them.
 */
export async function fillEdge(store: EdgeStore, keyPair: SealKeyPair, content: EdgeContent): Promise<void> {
  const { certificates, certificateOf, sites } = content
  let revision = store.position().revision
  const apply = (records: readonly RigRecord[]): void => {
    revision += 1
    store.apply(
      records.map((record) => ({ ...record, revision })),
      revision,
    )
  }
  apply([ticketKeyRecord(keyPair.publicKey)])
  for (let first = 0; first < sites; first += BATCH) {
    const batch: RigRecord[] = []
    for (let number = first; number < Math.min(first + BATCH, sites); number += 1) {
      const certificate = certificateOf(number % certificates)
      if (number < certificates) batch.push(certificateRecord(certificate, keyPair.publicKey))
      batch.push(siteRecord(siteId(number), content.site))
      batch.push(nameRecord(content.nameOf(number), siteId(number), certificate))
    }
    apply(batch)
    await nextTurn()
  }
}
