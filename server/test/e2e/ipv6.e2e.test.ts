import { expect, test } from 'vitest'
import { hasNamespaces, inNamespace } from '../namespace.ts'

test('sites with an IPv6 address each, from the call to the visitor who says no name', async (context) => {
  if (!hasNamespaces()) context.skip('no network namespace can be made here: this needs root')
  expect(await inNamespace('ipv6-child.ts', [])).toEqual({
    shown: ['fd00:1::5', 'fd00:1::6'],
    withoutName: ['the site of ::5 DNS:own.test', 'the site of ::6 DNS:second.test'],
    http2: 'the site of ::6 DNS:second.test',
    byName: ['the site of ::6 DNS:second.test', 'the site of ::5 DNS:own.test'],
    shared: 'unrecognized name',
    unallocated: 'unrecognized name',
    foreignName: 'unrecognized name',
    curl: 'the site of ::5',
    // Of the plain port the Host alone decides.
    plain: expect.stringContaining('There is nothing at this address'),
    ipv4: 'the site of ::5 DNS:own.test',
  })
})
