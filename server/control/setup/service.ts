import { randomBytes } from 'node:crypto'
import type { Logger } from '../../process/log.ts'
import { hashPassword, verifyPassword } from '../auth/password.ts'
import { sha256 } from '../auth/refresh-secret.ts'
import { PASSWORD_LENGTH } from '../auth/schema.ts'
import type { OpenSession, SessionService } from '../auth/sessions.ts'
import { findUserByEmail } from '../auth/store.ts'
import type { UserRow } from '../auth/user-view.ts'
import type { Db, Tx } from '../db.ts'
import { AppError } from '../errors.ts'
import { recordEvent } from '../events/record.ts'
import { insertUser, lockAdmins, updateUser } from '../users/store.ts'
import { consumeSetupLink, insertSetupLink } from './store.ts'

const LINK_LIFE_MS = 86_400_000
const TOKEN_BYTES = 32

/** The first admin. */
export type SetupService = {
  /** Whether there is no admin yet. Anybody may ask. */
  isOpen(): Promise<boolean>
  /** Uses the one-time link, makes the first admin and signs in. Throws SETUP_LINK_INVALID. */
  complete(input: { token: string; email: string; password: string }, userAgent: string | null): Promise<OpenSession>
}

/** Makes the service. */
export function createSetupService(db: Db, sessions: SessionService): SetupService {
  return {
    async isOpen() {
      return !(await hasAdmin(db))
    },
    async complete(input, userAgent) {
      const invalid = new AppError(
        'SETUP_LINK_INVALID',
        'Restart Nameplate: while nobody is administrator, it prints a new one.',
      )
      const hash = sha256(input.token)
      const known = await db.setupLink.findFirst({ where: { hash, usedAt: null, expiresAt: { gt: new Date() } } })
      if (known === null) throw invalid
      const passwordHash = await hashPassword(input.password)
      return db.$transaction(async (tx) => {
        await lockAdmins(tx)
        if ((await hasAdmin(tx)) || !(await consumeSetupLink(tx, hash))) throw invalid
        const user = await makeAdmin(tx, input.email, passwordHash)
        return sessions.begin(tx, user, userAgent)
      })
    },
  }
}

/**
 * For the start: a new one-time token for `<UI>/setup#<token>`, valid for 24 hours, or null when
 * there is an admin. Earlier links stay valid until one is used, so that replicas may start together.
 */
export async function createSetupLink(db: Db): Promise<string | null> {
  if (await hasAdmin(db)) return null
  const token = randomBytes(TOKEN_BYTES).toString('base64url')
  await db.$transaction((tx) => insertSetupLink(tx, sha256(token), new Date(Date.now() + LINK_LIFE_MS)))
  return token
}

/**
 * For the start: makes the first admin from NAMEPLATE_ADMIN_EMAIL and _PASSWORD when there is none;
 * when there is one that differs, says so in a warning and changes nothing. Throws INVALID_INPUT for
 * a password that is too short or too long, and when one of the two is missing.
 */
export async function seedAdmin(
  db: Db,
  seed: { readonly email: string | null; readonly password: string | null },
  log: Logger,
): Promise<void> {
  const { email, password } = seed
  if (email === null && password === null) return
  if (await hasAdmin(db)) {
    if (!(await isPresentAdmin(db, email, password)))
      log.warn('NAMEPLATE_ADMIN_EMAIL and NAMEPLATE_ADMIN_PASSWORD are not those of an administrator here; not used')
    return
  }
  if (email === null || password === null)
    throw new AppError('INVALID_INPUT', 'NAMEPLATE_ADMIN_EMAIL and NAMEPLATE_ADMIN_PASSWORD: set both or none')
  const { minLength, maxLength } = PASSWORD_LENGTH
  if (password.length < minLength || password.length > maxLength)
    throw new AppError('INVALID_INPUT', `NAMEPLATE_ADMIN_PASSWORD: must have ${minLength} to ${maxLength} characters`)
  const passwordHash = await hashPassword(password)
  await db.$transaction(async (tx) => {
    await lockAdmins(tx)
    if (!(await hasAdmin(tx))) await makeAdmin(tx, email, passwordHash)
  })
}

async function hasAdmin(db: Db | Tx): Promise<boolean> {
  const admin = await db.user.findFirst({ where: { platformRole: 'admin', disabledAt: null }, select: { id: true } })
  return admin !== null
}

async function isPresentAdmin(db: Db, email: string | null, password: string | null): Promise<boolean> {
  const user = email === null ? null : await findUserByEmail(db, email)
  if (user === null || user.platformRole !== 'admin') return false
  return password === null || (await verifyPassword(password, user.passwordHash))
}

/** A user of that e-mail who is there already becomes the admin. */
async function makeAdmin(tx: Tx, email: string, passwordHash: string): Promise<UserRow> {
  const there = await findUserByEmail(tx, email)
  const data = { passwordHash, platformRole: 'admin', disabledAt: null } as const
  const user =
    there === null
      ? await insertUser(tx, { email: email.trim().toLowerCase(), ...data })
      : await updateUser(tx, there.id, data)
  await recordEvent(tx, {
    actor: 'system',
    tenantId: null,
    action: 'installation.set_up',
    subjectId: user.id,
    subjectName: user.email,
  })
  return user
}
