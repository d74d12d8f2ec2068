import { panelHopToken } from '../contract/panel-hop.ts'
import { type SealKeyPair, unsealFrom } from '../contract/sealing.ts'
import type { EdgeReader } from './edge-store.ts'

/** What shows the control plane that a request came through this edge; null while there is no ticket key. */
export type PanelHop = () => string | null

/** Makes it from the present ticket key, which is opened once. */
export function createPanelHop(deps: {
  readonly reader: Pick<EdgeReader, 'get'>
  readonly keyPair: SealKeyPair
}): PanelHop {
  let known = { sealedSecret: '', token: '' }
  return () => {
    const sealedSecret = deps.reader.get('ticket-key', 'current')?.sealedSecret
    if (sealedSecret === undefined) return null
    if (known.sealedSecret !== sealedSecret) {
      const secret = unsealFrom(deps.keyPair, Buffer.from(sealedSecret, 'base64'), 'ticket-key')
      known = { sealedSecret, token: panelHopToken(secret) }
    }
    return known.token
  }
}
