import { deriveKey } from './sealing.ts'

/** By this field the control plane knows that a request for the panel came through one of its own edges. */
export const PANEL_HOP_FIELD = 'x-nameplate-hop'

/**
 * The value of that field, from the ticket secret of an epoch, which only the control plane and its edges
 * have: the loopback address alone would let every program of the machine say who had called it.
 */
export function panelHopToken(ticketSecret: Uint8Array): string {
  return deriveKey(ticketSecret, 'panel-hop').toString('base64url')
}
