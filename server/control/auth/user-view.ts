import type { Prisma } from '../generated/client.ts'
import type { UserView } from './schema.ts'

/** What has to be read for `userView`. */
export const userInclude = {
  memberships: { include: { tenant: { select: { name: true, state: true } } }, orderBy: { tenantId: 'asc' } },
} as const satisfies Prisma.UserInclude

/** A user row with its memberships. */
export type UserRow = Prisma.UserGetPayload<{ include: typeof userInclude }>

/** A user as the API shows it. */
export function userView(row: UserRow): UserView {
  return {
    id: row.id,
    email: row.email,
    platformRole: row.platformRole,
    memberships: row.memberships.map(({ tenantId, role, tenant }) => ({ tenantId, tenantName: tenant.name, role })),
    isDisabled: row.disabledAt !== null,
    hasPassword: row.passwordHash !== null,
    createdAt: row.createdAt.toISOString(),
  }
}
