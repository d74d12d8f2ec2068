import { describe, expect, test } from 'vitest'
import type { CertificateDetailView } from '#lib/certificates/api.ts'
import type { HostnameView } from './api.ts'
import { type Step, timelineOf } from './timeline.ts'

const CLAIMED = '2026-11-23T12:00:00Z'
const PROVEN = '2026-11-23T12:01:00Z'
const ORDERED = '2026-11-23T12:01:01Z'
const ISSUED = '2026-11-23T12:01:02Z'

function hostname(change: Partial<HostnameView>): HostnameView {
  return {
    id: 'h',
    tenantId: 't',
    name: 'www.example.com',
    unicodeName: 'www.example.com',
    siteId: 's',
    domainId: 'd',
    ownership: { state: 'pending', instructions: [] },
    certificate: { state: 'wanted' },
    live: false,
    createdAt: CLAIMED,
    updatedAt: CLAIMED,
    ...change,
  }
}

const verified: HostnameView['ownership'] = { state: 'verified', instructions: [], verifiedAt: PROVEN }
const history = [
  { type: 'version', id: 'v2', at: '2027-01-01T00:00:00Z' },
  { type: 'version', id: 'v1', at: ISSUED },
  { type: 'order', id: 'o1', at: ORDERED },
] as CertificateDetailView['history']
const certificate = { history } as CertificateDetailView

const states = (steps: Step[]) => steps.map(({ state }) => state)

describe('the way of a hostname', () => {
  test('begins with waiting for the proof', () => {
    expect(states(timelineOf(hostname({}), null))).toEqual(['done', 'current', 'todo', 'todo', 'todo'])
  })

  test('goes on by itself when it is proven', () => {
    const steps = timelineOf(hostname({ ownership: verified }), null)
    expect(states(steps)).toEqual(['done', 'done', 'current', 'todo', 'todo'])
    expect(steps[1]?.at).toBe(PROVEN)
  })

  test('waits for the authority, then for the edges, then is live', () => {
    const ordering = hostname({ ownership: verified, certificate: { state: 'ordering' } })
    const valid = hostname({ ownership: verified, certificate: { state: 'valid', notAfter: '2027-02-01T00:00:00Z' } })
    expect(states(timelineOf(ordering, null))).toEqual(['done', 'done', 'done', 'current', 'todo'])
    expect(states(timelineOf(valid, certificate))).toEqual(['done', 'done', 'done', 'done', 'current'])
    expect(states(timelineOf({ ...valid, live: true }, certificate))).toEqual(Array(5).fill('done'))
  })

  test('tells when it was first ordered and issued, not when it was renewed', () => {
    const valid = hostname({ ownership: verified, certificate: { state: 'valid', notAfter: '2027-02-01T00:00:00Z' } })
    const steps = timelineOf(valid, certificate)
    expect(steps.map(({ at }) => at)).toEqual([CLAIMED, PROVEN, ORDERED, ISSUED, undefined])
  })

  test('shows a refusal at the step where it happened, in the words of the server', () => {
    const problem = { code: 'ORDER_REFUSED', detail: 'Port 80 did not answer.' }
    const failing = hostname({ ownership: verified, certificate: { state: 'failing', problem } })
    const steps = timelineOf(failing, null)
    expect(states(steps)).toEqual(['done', 'done', 'done', 'problem', 'todo'])
    expect(steps[3]?.detail).toBe(problem.detail)
  })

  test('shows a lost proof as a problem', () => {
    const problem = { code: 'NAME_TAKEN', detail: 'Another tenant has proven this name.' }
    const steps = timelineOf(hostname({ ownership: { state: 'disputed', instructions: [], problem } }), null)
    expect(states(steps)).toEqual(['done', 'problem', 'todo', 'todo', 'todo'])
    expect(steps[1]?.detail).toBe(problem.detail)
  })

  test('a paused certificate stops at the order', () => {
    const problem = { code: 'WILDCARD', detail: 'A wildcard cannot be ordered by http-01.' }
    const paused = hostname({ ownership: verified, certificate: { state: 'paused', problem } })
    expect(states(timelineOf(paused, null))).toEqual(['done', 'done', 'problem', 'todo', 'todo'])
  })
})
