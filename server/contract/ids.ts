/** Whether a value is a SHA-256 in hex, lower case: the digest of a blob, or the fingerprint of a leaf. */
export function isDigest(value: unknown): value is string {
  return typeof value === 'string' && /^[0-9a-f]{64}$/.test(value)
}

/** Whether a value is a UUID in the form in which PostgreSQL writes it (RFC 9562 section 4, lower case). */
export function isUuid(value: unknown): value is string {
  return typeof value === 'string' && /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(value)
}
