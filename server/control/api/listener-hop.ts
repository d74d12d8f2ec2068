import { timingSafeEqual } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { PANEL_HOP_FIELD, panelHopToken } from '../../contract/panel-hop.ts'
import { ticketEpochAt, ticketLabel } from '../publish/compile.ts'
import type { Vault } from '../vault.ts'

/** What only our own edges may say of a request: who called, by which protocol and name. */
const FORWARDED_FIELDS = ['x-forwarded-for', 'x-forwarded-proto', 'x-forwarded-host'] as const

/**
 * Makes the function that takes from a request what its sender had no right to say: forwarded fields of
 * one that did not come through an edge of ours. Edges may be an epoch behind, or ahead of our clock.
 */
export function createForwardedGuard(vault: Vault): (request: IncomingMessage) => void {
  const isOurs = (said: Buffer): boolean => {
    const now = ticketEpochAt(Date.now())
    return [now, now - 1, now + 1].some((epoch) =>
      vault.deriveAll(ticketLabel(epoch)).some((secret) => {
        const token = Buffer.from(panelHopToken(secret))
        return said.length === token.length && timingSafeEqual(said, token)
      }),
    )
  }
  return ({ headers }) => {
    const said = headers[PANEL_HOP_FIELD]
    delete headers[PANEL_HOP_FIELD]
    if (typeof said === 'string' && isOurs(Buffer.from(said))) return
    for (const field of FORWARDED_FIELDS) delete headers[field]
  }
}
