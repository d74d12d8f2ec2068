import { describe, expect, test } from 'vitest'
import { AppError } from '../errors.ts'
import {
  type Actor,
  guest,
  type MemberRole,
  requireAdmin,
  requireTenant,
  system,
  tenantOfCreate,
  visibleTenants,
} from './access.ts'

type UserParts = {
  platformRole?: 'admin' | 'support' | null
  roles?: [string, MemberRole][]
  token?: { tenantId: string | null; scopes: string[] }
}

function user({ platformRole = null, roles = [], token }: UserParts): Actor {
  return {
    kind: 'user',
    userId: 'u',
    email: 'u@example.test',
    platformRole,
    memberships: new Map(roles),
    token: token === undefined ? null : { id: 't', ...token },
  }
}

function outcome(check: () => void): string {
  try {
    check()
    return 'ok'
  } catch (error) {
    return (error as AppError).code
  }
}

const actors: [string, Actor][] = [
  ['guest', guest],
  ['stranger', user({ roles: [['b', 'owner']] })],
  ['viewer', user({ roles: [['a', 'viewer']] })],
  ['member', user({ roles: [['a', 'member']] })],
  ['owner', user({ roles: [['a', 'owner']] })],
  ['support', user({ platformRole: 'support' })],
  ['admin', user({ platformRole: 'admin' })],
  ['system', system],
  ['token of another tenant', user({ platformRole: 'admin', token: { tenantId: 'b', scopes: ['admin'] } })],
  ['reading token', user({ roles: [['a', 'owner']], token: { tenantId: 'a', scopes: ['read'] } })],
]

describe('requireTenant', () => {
  const expected: Record<string, [viewer: string, member: string, owner: string]> = {
    guest: ['UNAUTHENTICATED', 'UNAUTHENTICATED', 'UNAUTHENTICATED'],
    stranger: ['NOT_FOUND', 'NOT_FOUND', 'NOT_FOUND'],
    viewer: ['ok', 'FORBIDDEN', 'FORBIDDEN'],
    member: ['ok', 'ok', 'FORBIDDEN'],
    owner: ['ok', 'ok', 'ok'],
    support: ['ok', 'FORBIDDEN', 'FORBIDDEN'],
    admin: ['ok', 'ok', 'ok'],
    system: ['ok', 'ok', 'ok'],
    'token of another tenant': ['NOT_FOUND', 'NOT_FOUND', 'NOT_FOUND'],
    'reading token': ['ok', 'FORBIDDEN', 'FORBIDDEN'],
  }
  test.each(actors)('%s', (name, actor) => {
    const roles: MemberRole[] = ['viewer', 'member', 'owner']
    expect(roles.map((role) => outcome(() => requireTenant(actor, 'a', role)))).toEqual(expected[name])
  })
})

test.each(actors)('requireAdmin: %s', (name, actor) => {
  const reads = outcome(() => requireAdmin(actor, 'read'))
  const writes = outcome(() => requireAdmin(actor))
  if (name === 'guest') expect([reads, writes]).toEqual(['UNAUTHENTICATED', 'UNAUTHENTICATED'])
  else if (name === 'admin' || name === 'system') expect([reads, writes]).toEqual(['ok', 'ok'])
  else expect([reads, writes]).toEqual([name === 'support' ? 'ok' : 'FORBIDDEN', 'FORBIDDEN'])
})

test('lists show own tenants, and all to the platform', () => {
  expect(
    visibleTenants(
      user({
        roles: [
          ['a', 'viewer'],
          ['b', 'owner'],
        ],
      }),
    ),
  ).toEqual(['a', 'b'])
  expect(visibleTenants(user({ platformRole: 'support' }))).toBe('all')
  expect(
    visibleTenants(
      user({
        roles: [
          ['a', 'owner'],
          ['b', 'owner'],
        ],
        token: { tenantId: 'b', scopes: ['read'] },
      }),
    ),
  ).toEqual(['b'])
  expect(visibleTenants(user({ token: { tenantId: 'b', scopes: ['read'] } }))).toEqual([])
})

test('the tenant of a create is implied for members of one only', () => {
  expect(tenantOfCreate(user({ roles: [['a', 'member']] }), undefined)).toBe('a')
  expect(() =>
    tenantOfCreate(
      user({
        roles: [
          ['a', 'member'],
          ['b', 'member'],
        ],
      }),
      undefined,
    ),
  ).toThrow(/tenantId is needed/)
  expect(() => tenantOfCreate(user({ platformRole: 'admin', roles: [['a', 'owner']] }), undefined)).toThrow(AppError)
})
