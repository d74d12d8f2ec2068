import { describe, expect, test } from 'vitest'
import { createDoorRecords } from './door-records.ts'
import type { EdgeReader } from './edge-store.ts'
import { findVhost } from './vhost.ts'

/** `names`: what the filter reads at once; without them it has nothing to say. */
function recordsOf(entries: Readonly<Record<string, unknown>>, names?: string[]) {
  const store = new Map(Object.entries(entries))
  let reads = 0
  const reader = {
    get: (kind: string, key: string) => {
      reads += 1
      return store.get(`${kind} ${key}`) ?? null
    },
    namesAfter() {
      if (names === undefined) throw new Error('not now')
      return names
    },
  } as Pick<EdgeReader, 'get' | 'namesAfter'>
  return { store, records: createDoorRecords(reader), reads: () => reads }
}

describe('what the door remembers', () => {
  test('is read once, also what is not there, until it changes', () => {
    const { store, records, reads } = recordsOf({})
    for (let i = 0; i < 5; i += 1) expect(findVhost(records, 'shop.example', () => '')).toBeNull()
    expect(reads()).toBe(2)
    store.set('name shop.example', { siteId: 's', certificates: ['f'] })
    expect(findVhost(records, 'shop.example', () => '')).toBeNull()
    records.drop([{ kind: 'name', key: 'shop.example' }])
    for (let i = 0; i < 5; i += 1) expect(findVhost(records, 'shop.example', () => '')).toMatchObject({ siteId: 's' })
    expect(reads()).toBe(3)
    store.delete('name shop.example')
    records.drop([{ kind: 'name', key: 'shop.example' }])
    expect(findVhost(records, 'shop.example', () => '')).toBeNull()
  })

  test('of names that are served is not pushed out by a flood of made-up ones', () => {
    const { records, reads } = recordsOf({ 'name shop.example': { siteId: 's', certificates: ['f'] } })
    findVhost(records, 'shop.example', () => '')
    for (let i = 0; i < 60_000; i += 1) findVhost(records, `x${i}.y${i}.example`, () => '')
    const before = reads()
    expect(findVhost(records, 'shop.example', () => '')).toMatchObject({ siteId: 's' })
    expect(reads()).toBe(before)
    // The flood is forgotten again: its first names are read anew.
    findVhost(records, 'x0.y0.example', () => '')
    expect(reads()).toBe(before + 2)
  })

  test('is all names: of one that nobody has the store is not asked, until it comes', () => {
    const { store, records, reads } = recordsOf({}, ['shop.example'])
    for (let i = 0; i < 1_000; i += 1) expect(findVhost(records, `x${i}.example`, () => '')).toBeNull()
    expect(reads()).toBeLessThan(3)
    store.set('name *.example', { siteId: 's', certificates: ['f'] })
    records.drop([{ kind: 'name', key: '*.example' }])
    expect(findVhost(records, 'x0.example', () => '')).toMatchObject({ siteId: 's' })
  })

  test('of a site is its tenant and its limit, of the limits what is set', () => {
    const { store, records } = recordsOf({
      'site s': { tenantId: 't', options: { maxConnections: 5 } },
      'site plain': { tenantId: 't' },
    })
    expect(records.site('s')).toEqual({ tenantId: 't', maxConnections: 5 })
    expect(records.site('plain')).toEqual({ tenantId: 't', maxConnections: null })
    expect(records.site('gone')).toBeNull()
    const limits = records.limits()
    expect(records.limits()).toBe(limits)
    store.set('setting listenerLimits', { value: { siteConnections: 9 } })
    records.drop([{ kind: 'setting', key: 'listenerLimits' }])
    expect(records.limits().siteConnections).toBe(9)
  })
})
