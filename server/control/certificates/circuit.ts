import type { Random } from './schedule.ts'

/** Failures of the CA itself, in a row, before it is left alone. */
const OPENS_AFTER = 3
const FIRST_PAUSE_MS = 30_000
const MAX_PAUSE_MS = 30 * 60_000
const SPREAD = 0.2

/** How an issuer has been failing: kept in `issuer.circuit` as JSON, null while it works. */
export type Circuit = {
  readonly failures: number
  /** RFC 3339; when the first of these failures was. */
  readonly since: string
  /** RFC 3339; nothing is asked of the CA before; null while it is still asked as ever. */
  readonly openUntil: string | null
  readonly code: string
  readonly detail: string
}

/**
 * One more failure that is the CA's own: it does not answer, or answers with a fault. What was under way
 * when the circuit opened and fails after it tells nothing new: only a failure of a new try lengthens the pause. Pure.
 */
export function afterFailure(
  present: Circuit | null,
  problem: { readonly code: string; readonly detail: string },
  now: Date,
  random: Random,
): Circuit {
  if (present !== null && openUntil(present, now) !== null) return present
  const failures = (present?.failures ?? 0) + 1
  const since = present?.since ?? now.toISOString()
  const exponent = failures - OPENS_AFTER
  const pauseMs = Math.min(FIRST_PAUSE_MS * 2 ** Math.max(0, Math.min(exponent, 16)), MAX_PAUSE_MS)
  const spread = 1 + random() * SPREAD
  const pausedUntil = exponent < 0 ? null : new Date(now.getTime() + pauseMs * spread).toISOString()
  return { failures, since, openUntil: pausedUntil, code: problem.code, detail: problem.detail }
}

/** Until when the CA is left alone; null when it may be asked. */
export function openUntil(circuit: Circuit | null, now: Date): Date | null {
  if (circuit?.openUntil == null) return null
  const until = new Date(circuit.openUntil)
  return until > now ? until : null
}

/** Reads what `issuer.circuit` holds. */
export function readCircuit(value: unknown): Circuit | null {
  if (typeof value !== 'object' || value === null) return null
  const circuit = value as Partial<Circuit>
  return typeof circuit.failures === 'number' && typeof circuit.since === 'string' ? (circuit as Circuit) : null
}
