import { createHash, randomBytes } from 'node:crypto'
import { deriveKey, type SealKeyPair, unsealFrom } from '../contract/sealing.ts'
import type { EdgeReader } from './edge-store.ts'

/** What Node takes as `ticketKeys`: name, HMAC and AES key of 16 bytes each. */
const TICKET_KEY_BYTES = 48
/** The first part: it stands in clear at the beginning of each ticket. */
const NAME_BYTES = 16

/** The secret that the ticket keys of one epoch are derived from. `id` tells secrets apart and reveals nothing. */
export type TicketSecret = { readonly id: string; readonly secret: Buffer }

/** The secrets that this edge was sent, opened when they are first needed. */
export type TicketSecrets = {
  /** Of the present epoch; without a record one of this worker alone. */
  current(): TicketSecret
  /** Of the epoch before: its tickets are still accepted. */
  previous(): TicketSecret | null
  /** Reads the records anew when they are next asked for. */
  forget(): void
}

/** What `createTicketSecrets` needs. */
export type TicketSecretsDeps = {
  readonly reader: Pick<EdgeReader, 'get'>
  readonly keyPair: SealKeyPair
  /** Told of a record that does not open. */
  readonly warn: (reason: string) => void
}

/** Makes them. */
export function createTicketSecrets(deps: TicketSecretsDeps): TicketSecrets {
  const own = withId(randomBytes(32))
  const opened = new Map<'current' | 'previous', TicketSecret | null>()
  const of = (key: 'current' | 'previous'): TicketSecret | null => {
    const known = opened.get(key)
    if (known !== undefined) return known
    const secret = open(deps, key)
    opened.set(key, secret)
    return secret
  }
  return { current: () => of('current') ?? own, previous: () => of('previous'), forget: () => opened.clear() }
}

/**
 * The ticket keys of a site in one epoch: the same in every worker of every edge, and no other site's, so that
 * no session is resumed across sites. `use` keeps contexts of one site apart that must not share sessions.
 */
export function ticketKeysOf({ secret }: TicketSecret, siteId: string, use = ''): Buffer {
  return deriveKey(secret, `site:${siteId}${use === '' ? '' : ` ${use}`}`, TICKET_KEY_BYTES)
}

/** The name under which a client shows that its ticket is of these keys, hex as in `ClientHello.ticketNames`. */
export function ticketNameOf(keys: Buffer): string {
  return keys.toString('hex', 0, NAME_BYTES)
}

function open(deps: TicketSecretsDeps, key: 'current' | 'previous'): TicketSecret | null {
  const record = deps.reader.get('ticket-key', key)
  if (record === null) return null
  try {
    return withId(unsealFrom(deps.keyPair, Buffer.from(record.sealedSecret, 'base64'), 'ticket-key'))
  } catch (error) {
    deps.warn((error as Error).message)
    return null
  }
}

function withId(secret: Buffer): TicketSecret {
  return { secret, id: createHash('sha256').update('id').update(secret).digest('hex').slice(0, 16) }
}
