import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type PlannedUpload, planUploaded, type UploadedHostname } from './expiry.ts'

const DAY_MS = 86_400_000
const HOUR_MS = 3_600_000
const start = new Date('2026-01-01T00:00:00Z')
const later = (ms: number): Date => new Date(start.getTime() + ms)
const hostname: UploadedHostname = { id: 'h', name: 'a.test', ownershipState: 'verified', nextCertificateId: null }
const upload = (lifetimeMs: number, more: Partial<PlannedUpload> = {}): PlannedUpload => ({
  fallbackToAcme: true,
  expiryWarnings: 0,
  isLeaving: false,
  active: { notBefore: start, notAfter: later(lifetimeMs), revocationWantedAt: null },
  hostnames: [hostname],
  ...more,
})

/** Walks through a life by `dueAt`, as the manager does, and returns what happened when. */
function live(lifetimeMs: number, more: Partial<PlannedUpload> = {}): { at: number; what: string }[] {
  let planned = upload(lifetimeMs, more)
  const seen: { at: number; what: string }[] = []
  for (let at: Date | null = start, looks = 0; at !== null; looks += 1) {
    expect(looks).toBeLessThan(20)
    const plan = planUploaded(planned, at)
    const left = (planned.active.notAfter.getTime() - at.getTime()) / lifetimeMs
    if (plan.warning !== null) seen.push({ at: left, what: `warning ${plan.warning}` })
    if (plan.fallbackFor.length > 0) seen.push({ at: left, what: 'fallback' })
    if (plan.state === 'expired') seen.push({ at: left, what: 'expired' })
    const hostnames = planned.hostnames.map((item) =>
      plan.fallbackFor.includes(item) ? { ...item, nextCertificateId: 'n' } : item,
    )
    planned = { ...planned, hostnames, expiryWarnings: plan.warning ?? planned.expiryWarnings }
    if (plan.dueAt !== null) expect(plan.dueAt.getTime()).toBeGreaterThan(at.getTime())
    at = plan.dueAt
  }
  return seen
}

test('a certificate of 90 days: warned at a third, a tenth, a thirtieth; ACME is wanted with a tenth left', () => {
  const seen = live(90 * DAY_MS)
  expect(seen.map(({ what }) => what)).toEqual(['warning 1', 'warning 2', 'fallback', 'warning 3', 'expired'])
  expect(seen.map(({ at }) => Math.round(at * 1_000) / 1_000)).toEqual([0.333, 0.1, 0.1, 0.033, 0])
})

test('property: whatever the lifetime, three warnings come once each and in time, and three attempts fit before the end', () => {
  fc.assert(
    fc.property(fc.integer({ min: HOUR_MS, max: 400 * DAY_MS }), (lifetimeMs) => {
      const seen = live(lifetimeMs)
      expect(seen.filter(({ what }) => what.startsWith('warning')).map(({ what }) => what)).toEqual([
        'warning 1',
        'warning 2',
        'warning 3',
      ])
      const fallback = seen.filter(({ what }) => what === 'fallback')
      expect(fallback).toHaveLength(1)
      const leftMs = (fallback[0]?.at ?? 0) * lifetimeMs
      expect(leftMs).toBeGreaterThanOrEqual(Math.min(111 * 60_000, lifetimeMs / 2 - 1_000))
      expect(seen.at(-1)?.what).toBe('expired')
      const forbidden = live(lifetimeMs, { fallbackToAcme: false })
      expect(forbidden.some(({ what }) => what === 'fallback')).toBe(false)
      expect(forbidden.filter(({ what }) => what.startsWith('warning'))).toHaveLength(3)
    }),
  )
})

describe('at any time', () => {
  const week = 7 * DAY_MS
  test('one uploaded late is warned of once, for where it stands', () => {
    const plan = planUploaded(upload(week, { expiryWarnings: 0 }), later(week * 0.95))
    expect(plan).toMatchObject({ warning: 2, state: 'valid', isRemoved: false })
    expect(plan.fallbackFor).toEqual([hostname])
  })
  test('one that nothing uses is neither warned of nor replaced, and never removed by itself', () => {
    for (const share of [0, 0.7, 0.99, 2])
      expect(planUploaded(upload(week, { hostnames: [] }), later(week * share))).toMatchObject({
        warning: null,
        fallbackFor: [],
        isRemoved: false,
      })
  })
  test('deleted or revoked: ACME at once whatever was allowed, removed or revoked when nothing uses it', () => {
    const revoked = { ...upload(week).active, revocationWantedAt: start }
    for (const more of [{ isLeaving: true }, { active: revoked }] as const) {
      const used = planUploaded(upload(week, { ...more, fallbackToAcme: false }), start)
      expect(used).toMatchObject({ fallbackFor: [hostname], isRemoved: false, state: 'valid' })
    }
    expect(planUploaded(upload(week, { isLeaving: true, hostnames: [] }), start).isRemoved).toBe(true)
    expect(planUploaded(upload(week, { active: revoked, hostnames: [] }), start)).toMatchObject({
      state: 'revoked',
      isRemoved: false,
      dueAt: null,
    })
  })
  test('a hostname that is not proven, or has its successor ordered, gets no other', () => {
    const hostnames = [
      { ...hostname, ownershipState: 'lapsed' },
      { ...hostname, nextCertificateId: 'n' },
    ]
    expect(planUploaded(upload(week, { hostnames }), later(week * 0.95)).fallbackFor).toEqual([])
  })
})
