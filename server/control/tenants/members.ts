import { type Actor, actorName, requireTenant } from '../auth/access.ts'
import { findUserByEmail } from '../auth/store.ts'
import { type Db, isUniqueViolation, type Tx, write } from '../db.ts'
import { AppError, notFound } from '../errors.ts'
import { recordEvent } from '../events/record.ts'
import type { Membership } from '../generated/client.ts'
import type { Page, Paged, WriteOptions } from '../schema.ts'
import { pageArguments, paged } from '../schema.ts'
import { deleteMember, insertMember, updateMember } from './member-store.ts'
import type { MemberChange, MemberView, NewMember } from './schema.ts'
import { lockTenant } from './store.ts'

/**
 * The people of a tenant. Its people see each other; owners add, change and remove. Users themselves
 * are made by platform admins alone: were an owner to choose the password of a new user, that user
 * could later be added to another tenant with a password that the first owner knows.
 */
export type MemberService = {
  list(actor: Actor, tenantId: string, page: Page): Promise<Paged<MemberView>>
  /** Adds an existing user by e-mail. Throws NOT_FOUND for an unknown one, CONFLICT for a member. */
  add(actor: Actor, tenantId: string, input: NewMember, options: WriteOptions): Promise<MemberView>
  /** Throws CONFLICT when the last owner would lose that role (platform admins may). */
  change(
    actor: Actor,
    tenantId: string,
    userId: string,
    input: MemberChange,
    options: WriteOptions,
  ): Promise<MemberView>
  /** As `change`. Everybody but the last owner may leave. */
  remove(actor: Actor, tenantId: string, userId: string, options: WriteOptions): Promise<void>
}

type Row = Membership & { user: { email: string } }

/** Makes the service. */
export function createMemberService(db: Db): MemberService {
  return {
    async list(actor, tenantId, page) {
      requireTenant(actor, tenantId, 'viewer')
      await requireExisting(db, tenantId)
      const { cursor, ...args } = pageArguments(page)
      const rows = await db.membership.findMany({
        where: { tenantId },
        include: { user: { select: { email: true } } },
        take: args.take,
        orderBy: { userId: 'asc' },
        ...(cursor === undefined ? {} : { cursor: { tenantId_userId: { tenantId, userId: cursor.id } }, skip: 1 }),
      })
      return paged(
        rows.map((row) => ({ ...row, id: row.userId })),
        page,
        memberView,
      )
    },
    async add(actor, tenantId, input, options) {
      requireTenant(actor, tenantId, 'owner')
      await requireExisting(db, tenantId)
      const user = await findUserByEmail(db, input.email)
      if (user === null)
        throw new AppError('NOT_FOUND', 'Nobody has this e-mail here yet; ask your provider to add it.')
      try {
        return await write(db, options, async (tx) => {
          const row = await insertMember(tx, { tenantId, userId: user.id, role: input.role })
          await recordEvent(tx, memberEvent(actor, { ...row, user }, 'member.added'))
          return memberView({ ...row, user })
        })
      } catch (error) {
        if (isUniqueViolation(error)) throw new AppError('CONFLICT', 'This person is a member already.')
        throw error
      }
    },
    async change(actor, tenantId, userId, input, options) {
      requireTenant(actor, tenantId, 'owner')
      return write(db, options, async (tx) => {
        const before = await findMember(tx, tenantId, userId)
        if (input.role !== 'owner') await requireOtherOwner(tx, actor, before)
        const row = await updateMember(tx, { tenantId, userId }, input.role)
        const member = { ...row, user: before.user }
        await recordEvent(tx, memberEvent(actor, member, 'member.changed'))
        return memberView(member)
      })
    },
    async remove(actor, tenantId, userId, options) {
      const isLeaving = actor.kind === 'user' && actor.userId === userId && actor.token === null
      requireTenant(actor, tenantId, isLeaving ? 'viewer' : 'owner')
      await write(db, options, async (tx) => {
        const before = await findMember(tx, tenantId, userId)
        await requireOtherOwner(tx, actor, before)
        await deleteMember(tx, { tenantId, userId })
        await recordEvent(tx, memberEvent(actor, before, 'member.removed'))
      })
    },
  }
}

async function requireExisting(db: Db, tenantId: string): Promise<void> {
  if ((await db.tenant.findUnique({ where: { id: tenantId }, select: { id: true } })) === null) throw notFound('tenant')
}

/** Reads a member under a lock of the tenant, so that two owners cannot remove each other at once. */
async function findMember(tx: Tx, tenantId: string, userId: string): Promise<Row> {
  await lockTenant(tx, tenantId)
  const row = await tx.membership.findUnique({
    where: { tenantId_userId: { tenantId, userId } },
    include: { user: { select: { email: true } } },
  })
  if (row === null) throw notFound('member')
  return row
}

async function requireOtherOwner(tx: Tx, actor: Actor, member: Row): Promise<void> {
  const isStaff = actor.kind === 'system' || (actor.kind === 'user' && actor.platformRole === 'admin')
  if (member.role !== 'owner' || isStaff) return
  const owners = await tx.membership.count({ where: { tenantId: member.tenantId, role: 'owner' } })
  if (owners < 2) throw new AppError('CONFLICT', 'This is the last owner; make somebody else an owner first.')
}

function memberEvent(actor: Actor, member: Row, action: string) {
  return {
    actor: actorName(actor),
    tenantId: member.tenantId,
    action,
    subjectId: member.userId,
    subjectName: member.user.email,
    detail: { role: member.role },
  }
}

function memberView(row: Row): MemberView {
  return { userId: row.userId, email: row.user.email, role: row.role, createdAt: row.createdAt.toISOString() }
}
