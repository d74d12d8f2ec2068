import { createHash, createHmac, randomBytes, timingSafeEqual } from 'node:crypto'

const ID_BYTES = 16
const RANDOM_BYTES = 16
const MAC_BYTES = 16

/** The secret of a refresh cookie. */
export type RefreshSecret = { readonly text: string; readonly hash: Uint8Array<ArrayBuffer> }

/**
 * Makes and reads refresh secrets: session id, random part, and a MAC over both under the first of `keys`; those
 * under the others are read too. The MAC tells an old genuine secret of a session, however old, from one that was made up: only the first
 * is a sign of theft.
 */
export function createRefreshSecrets(keys: () => readonly Buffer[]): {
  make(sessionId: string): RefreshSecret
  /** The session that a genuine secret is of, or null for anything else. */
  read(text: string): { sessionId: string; hash: Uint8Array<ArrayBuffer> } | null
} {
  const macsOf = (body: Buffer): Buffer[] =>
    keys().map((key) => createHmac('sha256', key).update(body).digest().subarray(0, MAC_BYTES))
  return {
    make(sessionId) {
      const body = Buffer.concat([Buffer.from(sessionId.replaceAll('-', ''), 'hex'), randomBytes(RANDOM_BYTES)])
      const text = Buffer.concat([body, ...macsOf(body).slice(0, 1)]).toString('base64url')
      return { text, hash: sha256(text) }
    },
    read(text) {
      const bytes = Buffer.from(text, 'base64url')
      if (bytes.length !== ID_BYTES + RANDOM_BYTES + MAC_BYTES || bytes.toString('base64url') !== text) return null
      const body = bytes.subarray(0, ID_BYTES + RANDOM_BYTES)
      if (!macsOf(body).some((mac) => timingSafeEqual(mac, bytes.subarray(body.length)))) return null
      const hex = body.toString('hex', 0, ID_BYTES)
      return { sessionId: hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5'), hash: sha256(text) }
    },
  }
}

/** What is stored in place of a random secret. */
export function sha256(text: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(createHash('sha256').update(text).digest())
}
