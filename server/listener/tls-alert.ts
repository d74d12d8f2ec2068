/** Fatal alerts that the peek answers by itself (RFC 8446 section 6.2). */
export const tlsAlert = {
  unexpectedMessage: 10,
  recordOverflow: 22,
  illegalParameter: 47,
  decodeError: 50,
  protocolVersion: 70,
  internalError: 80,
  unrecognizedName: 112,
  noApplicationProtocol: 120,
} as const

/** One of the codes of `tlsAlert`. */
export type TlsAlert = (typeof tlsAlert)[keyof typeof tlsAlert]

/**
 * The bytes of a fatal alert in a plaintext record. The record says TLS 1.0, as before any version
 * is agreed (RFC 8446 section 5.1 lets receivers ignore it).
 */
export function alertRecord(alert: TlsAlert): Buffer {
  return Buffer.of(0x15, 0x03, 0x01, 0x00, 0x02, 0x02, alert)
}
