import { renewAt, type Validity } from '../renewal.ts'

/**
 * Until when a certificate that was rolled back is left alone: as its renewal is planned, or for half of what it
 * has left where that time is over, so that the roll-back is not undone at once and time for retries stays. Pure.
 */
export function heldUntil(version: Validity, now: Date): Date {
  const planned = renewAt(version, () => 0).getTime()
  const half = now.getTime() + (version.notAfter.getTime() - now.getTime()) / 2
  return new Date(Math.max(planned, half))
}
