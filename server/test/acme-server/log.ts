import type { CallKind } from './calls.ts'
import type { ChallengeType } from './challenge-type.ts'

/** What the server did, each with its time by the server's clock (ms since 1970). */
export type LogEntry = { readonly at: number } & (
  | {
      readonly kind: 'account'
      readonly accountId: string
      readonly what: 'created' | 'found' | 'updated' | 'deactivated' | 'key-changed'
    }
  | {
      readonly kind: 'order'
      readonly orderId: string
      readonly accountId: string
      readonly names: readonly string[]
      readonly profile: string | null
      readonly replaces: string | null
    }
  | {
      readonly kind: 'validation'
      readonly accountId: string
      readonly name: string
      readonly type: ChallengeType
      /** Where the server went: a URL, `address:port`, or the DNS name. */
      readonly target: string
      /** Null when the challenge was met. */
      readonly problem: { readonly type: string; readonly detail: string } | null
    }
  | {
      readonly kind: 'finalized'
      readonly orderId: string
      readonly accountId: string
      readonly names: readonly string[]
    }
  | {
      readonly kind: 'issued'
      readonly orderId: string
      readonly accountId: string
      /** RFC 9773: the certificate's id. */
      readonly certId: string
      readonly serial: string
      readonly names: readonly string[]
      readonly profile: string | null
      readonly replaces: string | null
      readonly notBefore: number
      readonly notAfter: number
    }
  | { readonly kind: 'download'; readonly certId: string; readonly accountId: string; readonly chain: number }
  | { readonly kind: 'renewal-info'; readonly certId: string; readonly status: number }
  | {
      readonly kind: 'revoked'
      readonly certId: string
      readonly reason: number
      readonly by: 'account' | 'certificate-key'
    }
  | {
      /** A limit that the request exceeds: refused when enforced, else let through. */
      readonly kind: 'limit'
      readonly limit: string
      readonly key: string
      readonly isEnforced: boolean
      readonly retryAt: number
    }
  | { readonly kind: 'fault'; readonly call: CallKind | 'issuance' | 'validation'; readonly fault: string }
  | { readonly kind: 'refused'; readonly call: CallKind; readonly type: string; readonly detail: string }
)

type Kind = LogEntry['kind']
type EntryOf<K extends Kind> = Extract<LogEntry, { kind: K }>
type NewEntry = LogEntry extends infer E ? (E extends unknown ? Omit<E, 'at'> : never) : never

/** The record of a server, kept across its restarts. */
export type AcmeLog = {
  readonly entries: readonly LogEntry[]
  /** The entries of one kind, in order. */
  of<K extends Kind>(kind: K): EntryOf<K>[]
  /** Forgets what is logged so far. */
  clear(): void
}

/** A log that the server writes to. */
export type WritableLog = AcmeLog & { add(entry: NewEntry): void }

/** An empty log on a clock. */
export function createLog(clock: () => number): WritableLog {
  const entries: LogEntry[] = []
  return {
    entries,
    of: <K extends Kind>(kind: K) => entries.filter((entry): entry is EntryOf<K> => entry.kind === kind),
    clear: () => void entries.splice(0),
    add: (entry) => void entries.push({ at: clock(), ...entry } as LogEntry),
  }
}
