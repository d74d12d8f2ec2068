import { randomUUIDv7 } from 'node:crypto'
import type { Db, Tx } from '../db.ts'
import { AppError } from '../errors.ts'
import { recordEvent } from '../events/record.ts'
import { verifyPassword } from './password.ts'
import { createRefreshSecrets } from './refresh-secret.ts'
import { findLiveSession, findUserByEmail, insertSession, revokeSession, rotateSecret } from './store.ts'
import { type UserRow, userView } from './user-view.ts'

const DAY_MS = 86_400_000
/** A session ends when it was not used for this long, */
const IDLE_MS = 14 * DAY_MS
/** or this long after the log-in. */
const LONGEST_MS = 90 * DAY_MS
/** Two tabs that refresh at once both send the old cookie; later than this, its use is theft. */
const GRACE_MS = 10_000

/** A session that was begun or continued. `refreshSecret` null: the browser keeps the cookie that it has. */
export type OpenSession = {
  readonly sessionId: string
  readonly user: UserRow
  readonly refreshSecret: string | null
}

/** Sessions of people who sign in with a password. */
export type SessionService = {
  /** Checks e-mail and password and starts a session. Throws CREDENTIALS_WRONG, which says nothing of whether there is such a user. */
  login(input: { email: string; password: string }, userAgent: string | null): Promise<OpenSession>
  /** Starts a session in the caller's transaction, for somebody who has just been made (set-up). */
  begin(tx: Tx, user: UserRow, userAgent: string | null): Promise<OpenSession>
  /** Continues a session and gives a new secret. A genuine old one ends the session. Throws SESSION_ENDED. */
  refresh(secret: string): Promise<OpenSession>
  /** Ends the session of a refresh secret or of verified access claims, if it lives. */
  logout(of: { secret: string } | { sessionId: string }): Promise<void>
}

/** Makes the service; `keys` are the vault's for `refresh`, the present one first. */
export function createSessionService(db: Db, keys: () => readonly Buffer[]): SessionService {
  const secrets = createRefreshSecrets(keys)

  const begin = async (tx: Tx, user: UserRow, userAgent: string | null): Promise<OpenSession> => {
    const id = randomUUIDv7()
    const secret = secrets.make(id)
    const session = {
      id,
      userId: user.id,
      secretHash: secret.hash,
      userAgent: userAgent === null ? null : userAgent.slice(0, 300),
      expiresAt: new Date(Date.now() + IDLE_MS),
    }
    await insertSession(tx, session, new Date(Date.now() - IDLE_MS))
    await recordEvent(tx, {
      actor: `user:${user.id}`,
      tenantId: null,
      action: 'session.started',
      subjectId: user.id,
      subjectName: user.email,
    })
    return { sessionId: id, user, refreshSecret: secret.text }
  }

  const end = (sessionId: string, user: { id: string; email: string }, action: string): Promise<void> =>
    db.$transaction(async (tx) => {
      if (!(await revokeSession(tx, sessionId))) return
      const subject = { subjectId: user.id, subjectName: user.email }
      await recordEvent(tx, { actor: `user:${user.id}`, tenantId: null, action, ...subject })
    })

  return {
    begin,
    async login({ email, password }, userAgent) {
      const user = await findUserByEmail(db, email)
      const isRight = await verifyPassword(password, user?.passwordHash ?? null)
      if (user === null || !isRight || user.disabledAt !== null)
        throw new AppError('CREDENTIALS_WRONG', 'Check both and try again.')
      return db.$transaction((tx) => begin(tx, user, userAgent))
    },
    async refresh(text) {
      const used = secrets.read(text)
      const session = used === null ? null : await findLiveSession(db, used.sessionId)
      if (used === null || session === null) throw new AppError('SESSION_ENDED', 'Sign in again to go on.')
      const { id, user, createdAt } = session
      const next = secrets.make(id)
      const expiresAt = new Date(Math.min(Date.now() + IDLE_MS, createdAt.getTime() + LONGEST_MS))
      if (await db.$transaction((tx) => rotateSecret(tx, id, used.hash, next.hash, expiresAt)))
        return { sessionId: id, user, refreshSecret: next.text }
      const now = await findLiveSession(db, id)
      if (now !== null && isPrevious(now, used.hash)) return { sessionId: id, user, refreshSecret: null }
      await end(id, user, 'session.revoked_as_stolen')
      throw new AppError('SESSION_ENDED', 'An old sign-in was used again, so it was ended for safety. Sign in again.')
    },
    async logout(of) {
      const id = 'secret' in of ? secrets.read(of.secret)?.sessionId : of.sessionId
      const session = id === undefined ? null : await findLiveSession(db, id)
      if (session !== null) await end(session.id, session.user, 'session.ended')
    },
  }
}

function isPrevious(session: { previousHash: Uint8Array | null; rotatedAt: Date }, hash: Uint8Array): boolean {
  const { previousHash, rotatedAt } = session
  return (
    previousHash !== null && Buffer.compare(previousHash, hash) === 0 && Date.now() - rotatedAt.getTime() < GRACE_MS
  )
}

/** The part of an answer that tells who signed in. */
export function signedInUser(session: OpenSession) {
  return userView(session.user)
}
