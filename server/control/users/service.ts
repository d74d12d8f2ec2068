import { type Actor, actorName, requireAdmin, requireUser } from '../auth/access.ts'
import { hashPassword, verifyPassword } from '../auth/password.ts'
import type { UserView } from '../auth/schema.ts'
import { findUser, revokeSessions } from '../auth/store.ts'
import { type UserRow, userInclude, userView } from '../auth/user-view.ts'
import { type Db, isForeignKeyViolation, isUniqueViolation, type Tx, write } from '../db.ts'
import { AppError, notFound } from '../errors.ts'
import { recordEvent } from '../events/record.ts'
import { type Paged, pageArguments, paged, type WriteOptions } from '../schema.ts'
import { insertMember } from '../tenants/member-store.ts'
import type { NewUser, UserChange, UserQuery } from './schema.ts'
import { countOtherAdmins, deleteUser, insertUser, lockAdmins, updateUser } from './store.ts'

/** Users: made and changed by platform admins; everybody sees himself and changes the own password. */
export type UserService = {
  list(actor: Actor, query: UserQuery): Promise<Paged<UserView>>
  get(actor: Actor, id: string): Promise<UserView>
  /** Throws CONFLICT for an e-mail that is taken, INVALID_INPUT for an unknown tenant. */
  create(actor: Actor, input: NewUser, options: WriteOptions): Promise<UserView>
  /** A new password and disabling end the user's sessions. Throws CONFLICT when no admin would be left. */
  change(actor: Actor, id: string, input: UserChange, options: WriteOptions): Promise<UserView>
  /** Throws CONFLICT when no admin would be left. */
  remove(actor: Actor, id: string, options: WriteOptions): Promise<void>
}

/** Makes the service. */
export function createUserService(db: Db): UserService {
  const find = async (id: string): Promise<UserRow> => {
    const row = await findUser(db, id)
    if (row === null) throw notFound('user')
    return row
  }
  return {
    async list(actor, query) {
      requireAdmin(actor, 'read')
      const where = query.q === undefined ? {} : { email: { contains: query.q.toLowerCase() } }
      return paged(await db.user.findMany({ where, include: userInclude, ...pageArguments(query) }), query, userView)
    },
    async get(actor, id) {
      if (!isSelf(actor, id)) requireOthers(actor, 'read')
      return userView(await find(id))
    },
    async create(actor, input, options) {
      requireAdmin(actor)
      const passwordHash = input.password === undefined ? null : await hashPassword(input.password)
      return saveUser(db, options, async (tx) => {
        const { id } = await insertUser(tx, {
          email: input.email.trim().toLowerCase(),
          passwordHash,
          platformRole: input.platformRole ?? null,
        })
        for (const { tenantId, role } of input.memberships ?? []) await insertMember(tx, { tenantId, userId: id, role })
        return reread(tx, actor, id, 'user.created')
      })
    },
    async change(actor, id, input, options) {
      await requireMayChange(db, actor, id, input)
      const before = await find(id)
      const passwordHash = input.password === undefined ? undefined : await hashPassword(input.password)
      return saveUser(db, options, async (tx) => {
        await keepAnAdmin(tx, before, input)
        await updateUser(tx, id, changes(before, input, passwordHash))
        if (passwordHash !== undefined || input.isDisabled === true) await revokeSessions(tx, id, null)
        return reread(tx, actor, id, 'user.changed')
      })
    },
    async remove(actor, id, options) {
      requireAdmin(actor)
      const row = await find(id)
      await write(db, options, async (tx) => {
        await keepAnAdmin(tx, row, { platformRole: null })
        await deleteUser(tx, id)
        await recordEvent(tx, userEvent(actor, row, 'user.deleted'))
      })
    },
  }
}

function isSelf(actor: Actor, id: string): boolean {
  return actor.kind === 'user' && actor.userId === id
}

/** Whoever may not see other users gets NOT_FOUND for them, so that ids cannot be tried. */
function requireOthers(actor: Actor, access: 'read' | 'write'): void {
  if (actor.kind !== 'system' && requireUser(actor).platformRole === null) throw notFound('user')
  requireAdmin(actor, access)
}

/** The own password may be changed from a session, with the present one; everything else is for admins. */
async function requireMayChange(db: Db, actor: Actor, id: string, input: UserChange): Promise<void> {
  const { password, currentPassword, ...others } = input
  if (!isSelf(actor, id)) return requireOthers(actor, 'write')
  const user = requireUser(actor)
  if (Object.keys(others).length > 0) requireAdmin(actor)
  if (password === undefined) return
  if (user.token !== null) throw new AppError('FORBIDDEN', 'Sign in to change your password; a token cannot.')
  const row = await findUser(db, id)
  if (await verifyPassword(currentPassword ?? '', row?.passwordHash ?? null)) return
  throw new AppError('INVALID_INPUT', 'currentPassword is not your present password.', {
    errors: [{ field: 'currentPassword', detail: 'is not your present password' }],
  })
}

function changes(before: UserRow, input: UserChange, passwordHash: string | undefined) {
  const { email, platformRole, isDisabled } = input
  const disabledAt = isDisabled === undefined ? undefined : isDisabled ? (before.disabledAt ?? new Date()) : null
  return {
    ...(email === undefined ? {} : { email: email.trim().toLowerCase() }),
    ...(platformRole === undefined ? {} : { platformRole }),
    ...(disabledAt === undefined ? {} : { disabledAt }),
    ...(passwordHash === undefined ? {} : { passwordHash }),
  }
}

async function keepAnAdmin(tx: Tx, before: UserRow, input: UserChange): Promise<void> {
  const losesRole = input.platformRole !== undefined && input.platformRole !== 'admin'
  if (before.platformRole !== 'admin' || !(losesRole || input.isDisabled === true)) return
  await lockAdmins(tx)
  if ((await countOtherAdmins(tx, before.id)) > 0) return
  throw new AppError('CONFLICT', 'This is the last administrator; make somebody else one first.')
}

async function reread(tx: Tx, actor: Actor, id: string, action: string): Promise<UserRow> {
  const row = await tx.user.findUniqueOrThrow({ where: { id }, include: userInclude })
  await recordEvent(tx, userEvent(actor, row, action))
  return row
}

async function saveUser(db: Db, options: WriteOptions, work: (tx: Tx) => Promise<UserRow>): Promise<UserView> {
  try {
    return userView(await write(db, options, work))
  } catch (error) {
    if (isUniqueViolation(error, 'email')) throw new AppError('CONFLICT', 'There is a user with this e-mail already.')
    if (isUniqueViolation(error) || isForeignKeyViolation(error))
      throw new AppError('INVALID_INPUT', 'memberships must name tenants that exist, each once.', {
        errors: [{ field: 'memberships', detail: 'must name tenants that exist, each once' }],
      })
    throw error
  }
}

function userEvent(actor: Actor, row: UserRow, action: string) {
  return { actor: actorName(actor), tenantId: null, action, subjectId: row.id, subjectName: row.email }
}
