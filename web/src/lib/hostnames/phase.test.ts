import { describe, expect, test } from 'vitest'
import type { HostnameView } from './api.ts'
import { isUnderWay, phaseOf } from './phase.ts'

type Ownership = HostnameView['ownership']['state']
type Certificate = HostnameView['certificate']['state']

function hostname(ownership: Ownership, certificate: Certificate, live: boolean): HostnameView {
  return {
    id: 'h',
    tenantId: 't',
    name: 'www.example.com',
    unicodeName: 'www.example.com',
    siteId: 's',
    domainId: 'd',
    ownership: { state: ownership, instructions: [] },
    certificate: { state: certificate },
    live,
    createdAt: '2026-11-23T12:00:00Z',
    updatedAt: '2026-11-23T12:00:00Z',
  }
}

describe('the phase of a hostname', () => {
  test.each<[Ownership, Certificate, boolean, string]>([
    ['pending', 'wanted', false, 'proof'],
    ['verified', 'wanted', false, 'issuing'],
    ['verified', 'ordering', false, 'issuing'],
    ['verified', 'valid', false, 'publishing'],
    ['verified', 'valid', true, 'live'],
    ['verified', 'renewing', true, 'live'],
    ['verified', 'failing', false, 'problem'],
    ['verified', 'failing', true, 'problem'],
    ['verified', 'paused', false, 'problem'],
    ['verified', 'expired', true, 'problem'],
    ['lapsed', 'valid', true, 'problem'],
    ['disputed', 'wanted', false, 'problem'],
    ['released', 'retired', false, 'problem'],
  ])('%s, certificate %s, live %s is %s', (ownership, certificate, live, key) => {
    expect(phaseOf(hostname(ownership, certificate, live)).key).toBe(key)
  })

  test('is never "live" before the edges have confirmed', () => {
    for (const ownership of ['pending', 'verified', 'lapsed', 'disputed', 'released'] as const) {
      for (const certificate of ['wanted', 'ordering', 'valid', 'renewing', 'failing', 'expired'] as const) {
        expect(phaseOf(hostname(ownership, certificate, false)).label).not.toMatch(/^Live/)
      }
    }
  })

  test('a live name that has no problem is not under way', () => {
    expect(isUnderWay(hostname('verified', 'valid', true))).toBe(false)
    expect(isUnderWay(hostname('verified', 'valid', false))).toBe(true)
  })
})
