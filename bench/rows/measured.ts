import { manyNames, proofToLive } from '../live.ts'
import { databaseChange, storeChange } from './changes.ts'
import type { MeasuredRow } from './figure-row.ts'
import { fleetRow } from './fleet.ts'
import { fleetPassRow } from './fleet-pass.ts'
import { contextBuilds, ownScale } from './own-scale.ts'
import { peersScale } from './peers-scale.ts'

/** The rows that measure by themselves, in the order of the table. */
export const measuredRows: readonly MeasuredRow[] = [
  peersScale,
  ownScale,
  contextBuilds,
  storeChange,
  databaseChange,
  fleetRow,
  fleetPassRow,
  {
    name: 'proof-to-live',
    title: 'from the proof of a name to its answer over TLS, one name at a time',
    measure: async () => ({ nameplate: await proofToLive() }),
  },
  {
    name: 'names-300',
    title: '300 names proven at once, until the last is live',
    measure: async () => ({ nameplate: await manyNames() }),
  },
]
