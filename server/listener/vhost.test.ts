import { describe, expect, test } from 'vitest'
import type { AddressRecord, NameRecord } from '../contract/records.ts'
import type { EdgeReader } from './edge-store.ts'
import { findVhost } from './vhost.ts'

const names: Record<string, NameRecord> = {
  'shop.example': { siteId: 'shop', certificates: ['aa', 'bb'] },
  '*.shop.example': { siteId: 'all', certificates: ['cc'] },
  'soon.shop.example': { siteId: 'soon', certificates: [] },
  'xn--bcher-kva.example': { siteId: 'books', certificates: ['dd'] },
}
const addresses: Record<string, AddressRecord> = {
  '127.0.0.1': { siteId: null, certificates: [], legacyTls: 'none' },
  '127.0.0.2': { siteId: 'shop', certificates: ['aa'], legacyTls: 'none' },
  '127.0.0.3': { siteId: 'soon', certificates: [], legacyTls: 'none' },
  'fd00::1': { siteId: 'books', certificates: ['dd'], legacyTls: 'none' },
}
const reader = {
  get: (kind: string, key: string) => (kind === 'name' ? names[key] : addresses[key]) ?? null,
} as Pick<EdgeReader, 'get'>

const find = (serverName: string | null, address = '127.0.0.1') => findVhost(reader, serverName, () => address)

describe('by server name', () => {
  test.each([
    ['shop.example', 'shop'],
    ['SHOP.Example.', 'shop'],
    ['www.shop.example', 'all'],
    ['xn--bcher-kva.example', 'books'],
  ])('%s is of site %s', (serverName, siteId) => {
    expect(find(serverName)?.siteId).toBe(siteId)
    expect(find(serverName, '127.0.0.2')?.siteId).toBe(siteId)
  })

  test('the name is handed on in its one form, the certificates in their order', () => {
    expect(find('SHOP.example.')).toEqual({ siteId: 'shop', certificates: ['aa', 'bb'], serverName: 'shop.example' })
  })

  test.each([
    'other.example',
    'a.b.shop.example',
    'example',
    'soon.shop.example',
    'shop.example..',
    '.shop.example',
    ' shop.example',
    'shop.example\0',
    '*.shop.example',
    'b\u00fccher.example',
    '../shop.example',
    'under_score.shop.example',
    `${'a'.repeat(64)}.shop.example`,
  ])('%s is refused, on a dedicated address too', (serverName) => {
    expect(find(serverName)).toBeNull()
    expect(find(serverName, '127.0.0.2')).toBeNull()
  })
})

describe('without a server name', () => {
  test.each([null, '127.0.0.2', '[fd00::1]', '10.1'])('%s counts as none', (serverName) => {
    expect(find(serverName, '127.0.0.2')).toEqual({ siteId: 'shop', certificates: ['aa'], serverName: null })
    expect(find(serverName, 'fd00::1')?.siteId).toBe('books')
  })

  test('a shared, an unknown and a waiting address are refused', () => {
    for (const address of ['127.0.0.1', '127.0.0.9', '127.0.0.3']) expect(find(null, address)).toBeNull()
  })
})
