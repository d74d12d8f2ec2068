import { describe, expect, test } from 'vitest'
import { defaultListenerLimits, type ListenerLimits, listenerLimits } from '../contract/listener-limits.ts'
import { type Client, clientNetwork, createAdmission, type Place, type SitePlace } from './admission.ts'

function admissionOf(limits: Partial<ListenerLimits>) {
  let now = 0
  let present: ListenerLimits = { ...defaultListenerLimits, ...limits }
  const admission = createAdmission(
    () => present,
    () => now,
  )
  const clients = new Map<string, Client>()
  return {
    admission,
    /** One connection of an address, the same each time. */
    client(address: string): Client {
      const client = clients.get(address) ?? admission.enter(address)
      if (client === null) throw new Error(`${address} has no place`)
      clients.set(address, client)
      return client
    },
    pass: (ms: number) => {
      now += ms
    },
    change: (more: Partial<ListenerLimits>) => {
      present = { ...present, ...more }
    },
  }
}

describe('a client address', () => {
  test('has so many connections and no more, until one ends', () => {
    const { admission, change } = admissionOf({ addressConnections: 2 })
    const first = admission.enter('192.0.2.1')
    expect(first).not.toBeNull()
    expect(admission.enter('192.0.2.1')).not.toBeNull()
    expect(admission.enter('192.0.2.1')).toBeNull()
    expect(admission.enter('192.0.2.2')).not.toBeNull()
    first?.leave()
    first?.leave()
    expect(admission.enter('192.0.2.1')).not.toBeNull()
    expect(admission.enter('192.0.2.1')).toBeNull()
    change({ addressConnections: 3 })
    expect(admission.enter('192.0.2.1')).not.toBeNull()
  })

  test('of IPv6 is its /64', () => {
    const { admission } = admissionOf({ addressConnections: 1 })
    expect(admission.enter('2001:db8:1:2::1')).not.toBeNull()
    expect(admission.enter('2001:db8:1:2:ffff::9')).toBeNull()
    expect(admission.enter('2001:db8:1:3::1')).not.toBeNull()
    expect(clientNetwork('2001:db8::1')).toBe('2001:db8:0:0::/64')
    expect(clientNetwork('::1')).toBe('0:0:0:0::/64')
    expect(clientNetwork('fe80::1%eth0')).toBe('fe80:0:0:0::/64')
    expect(clientNetwork('192.0.2.1')).toBe('192.0.2.1')
  })

  test('behind NAT64 is its IPv4 address, not the whole of IPv4', () => {
    const { admission } = admissionOf({ addressConnections: 1 })
    expect(admission.enter('64:ff9b::c000:201')).not.toBeNull()
    expect(admission.enter('64:ff9b::c000:202')).not.toBeNull()
    expect(admission.enter('64:ff9b:0:0::c000:201')).toBeNull()
    expect(clientNetwork('64:ff9b::1:c000:201')).toBe('64:ff9b:0:0::/64')
    expect(clientNetwork('64:ff9b:1::c000:201')).toBe('64:ff9b:1:0::/64')
  })

  test('makes handshakes at its rate after a burst, also with connections that come and go', () => {
    const { admission, pass } = admissionOf({ addressHandshakesPerSecond: 10, addressHandshakesBurst: 5 })
    const tries = (count: number): number => {
      let done = 0
      for (let i = 0; i < count; i += 1) {
        const place = admission.enter('192.0.2.1')
        if (place?.mayHandshake()) done += 1
        place?.leave()
      }
      return done
    }
    expect(tries(20)).toBe(5)
    pass(300)
    expect(tries(20)).toBe(3)
    pass(60_000)
    expect(tries(20)).toBe(5)
  })

  test('that is exempt has no limit, and what is no CIDR exempts nobody', () => {
    const { admission, change } = admissionOf({ addressConnections: 1, addressHandshakesBurst: 1 })
    for (let i = 0; i < 9; i += 1) expect(admission.enter('127.0.0.1')).not.toBeNull()
    change({ exempt: ['nonsense', '10.0.0.0/8', '2001:db8::/32'] })
    for (const address of ['10.1.2.3', '2001:db8::5']) {
      expect([admission.enter(address), admission.enter(address)]).not.toContain(null)
    }
    expect(admission.enter('127.0.0.1')).not.toBeNull()
    expect(admission.enter('127.0.0.1')).toBeNull()
  })
})

describe('a site', () => {
  test('and a tenant have so many connections and waiting handshakes, and their neighbours their own', () => {
    const { client } = admissionOf({
      siteConnections: 3,
      siteHandshakes: 2,
      tenantConnections: 4,
      tenantHandshakes: 9,
    })
    const first = client('127.0.0.1').enterSite('a', 't', null)
    const second = client('127.0.0.1').enterSite('a', 't', null)
    expect(client('127.0.0.1').enterSite('a', 't', null)).toBeNull()
    first?.settle()
    expect(client('127.0.0.1').enterSite('a', 't', null)).not.toBeNull()
    second?.settle()
    expect(client('127.0.0.1').enterSite('a', 't', null)).toBeNull()
    const sibling = client('127.0.0.1').enterSite('b', 't', null)
    expect(sibling).not.toBeNull()
    expect(client('127.0.0.1').enterSite('b', 't', null)).toBeNull()
    expect(client('127.0.0.1').enterSite('c', 'other', null)).not.toBeNull()
    first?.leave()
    sibling?.leave()
    expect(client('127.0.0.1').enterSite('a', 't', 2)).toBeNull()
    expect(client('127.0.0.1').enterSite('a', 't', null)).not.toBeNull()
  })
})

describe('an address that finishes no handshake', () => {
  /** How many handshakes with a site of a tenant the address may have under way. */
  const tryFrom = (client: Client, siteId: string, tenantId: string): (SitePlace | null)[] =>
    Array.from({ length: 300 }, () => client.enterSite(siteId, tenantId, null))
  const admitted = (places: readonly (SitePlace | null)[]): number => places.filter((place) => place !== null).length

  test('fills half of a site and no more: the other half is for others, each with a share', () => {
    const { client } = admissionOf({ siteHandshakes: 100, tenantHandshakes: 1_000 })
    const held = tryFrom(client('192.0.2.1'), 'a', 't')
    expect(admitted(held)).toBe(50)
    expect(admitted(tryFrom(client('192.0.2.2'), 'a', 't'))).toBe(5)
    const [one] = tryFrom(client('192.0.2.3'), 'a', 't')
    one?.settle()
    one?.settle()
    expect(client('192.0.2.3').enterSite('a', 't', null)).not.toBeNull()
    expect(client('192.0.2.3').enterSite('a', 't', null)).toBeNull()
    // What it leaves or finishes is free again for it.
    for (const place of held) place?.leave()
    expect(client('192.0.2.1').enterSite('a', 't', null)).not.toBeNull()
  })

  test('fills half of a tenant and no more, with however many sites', () => {
    const { client } = admissionOf({ siteHandshakes: 40, tenantHandshakes: 100 })
    const sites = ['a', 'b', 'c', 'd', 'e', 'f']
    const counts = sites.map((siteId) => admitted(tryFrom(client('192.0.2.1'), siteId, 't')))
    expect(counts.reduce((sum, count) => sum + count)).toBeLessThanOrEqual(50)
    expect(admitted(tryFrom(client('192.0.2.2'), 'f', 't'))).toBeGreaterThan(0)
  })

  test('is not held back when it is exempt', () => {
    const { client } = admissionOf({ siteHandshakes: 100, tenantHandshakes: 1_000 })
    expect(admitted(tryFrom(client('127.0.0.1'), 'a', 't'))).toBe(100)
  })
})

test('what is held is bounded: by the open connections, and for resting addresses by a number', () => {
  const { admission, client } = admissionOf({})
  const places: (Place | null)[] = []
  for (let i = 0; i < 120_000; i += 1) {
    const place = admission.enter(`198.${i >> 16}.${(i >> 8) & 255}.${i & 255}`)
    if (i < 10) places.push(place)
    else place?.leave()
  }
  expect(admission.held).toBeLessThanOrEqual(50_010)
  // Those that are still open were not forgotten, however many came after them.
  for (const place of places) place?.leave()
  const site = client('192.0.2.1').enterSite('s', 't', null)
  const before = admission.held
  site?.leave()
  expect(admission.held).toBe(before - 2)
})

test('limits that are missing or no limits have their defaults', () => {
  expect(listenerLimits(null)).toEqual(defaultListenerLimits)
  expect(listenerLimits({ siteConnections: 7, tenantConnections: 0, exempt: 'all', unknown: 1 })).toEqual({
    ...defaultListenerLimits,
    siteConnections: 7,
  })
})
