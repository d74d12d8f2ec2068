import type { TlsFacts } from '../http/connection.ts'

/** Kinds that one worker tells apart; all others are one. */
const MAX_KINDS = 200

/** What of a ClientHello a kind is made of. */
export type HelloTraits = {
  readonly serverName: string | null
  readonly alpn: readonly string[]
  readonly suites: readonly number[]
}

/** Finished handshakes by kind: `<version> <full|resumed> <sni|none> <class>`. */
export type HandshakeCounts = {
  note(hello: HelloTraits, facts: TlsFacts): void
  readonly byKind: Readonly<Record<string, number>>
}

/**
 * Counts in bounded cardinality. The class is the first part of a JA4 fingerprint, coarser: transport, version,
 * `d` or `i` for a name or none, suites offered in steps of ten, and the first protocol of ALPN (`h2`, `h1`, `00`).
 */
export function createHandshakeCounts(maxKinds = MAX_KINDS): HandshakeCounts {
  const byKind: Record<string, number> = Object.create(null)
  let kinds = 0
  return {
    note(hello, facts) {
      const name = hello.serverName === null ? 'none' : 'sni'
      const kind = `${facts.version || 'unknown'} ${facts.isResumed ? 'resumed' : 'full'} ${name} ${classOf(hello, facts)}`
      const isKnown = byKind[kind] !== undefined
      if (!isKnown) kinds += 1
      const key = isKnown || kinds <= maxKinds ? kind : 'other other other other'
      byKind[key] = (byKind[key] ?? 0) + 1
    },
    byKind,
  }
}

function classOf({ serverName, alpn, suites }: HelloTraits, { version }: TlsFacts): string {
  const digits = version === 'TLSv1' ? '10' : version.slice(-3).replace('.', '') || '00'
  const first = alpn[0] === 'h2' ? 'h2' : alpn[0]?.startsWith('http/1') ? 'h1' : alpn.length === 0 ? '00' : 'xx'
  const tens = Math.min(9, Math.floor(suites.length / 10))
  return `t${digits}${serverName === null ? 'i' : 'd'}${tens}x${first}`
}
