import { BlockList } from 'node:net'
import { parseCidr, unmapped } from '../../contract/reach.ts'
import type { Db } from '../db.ts'
import { AppError } from '../errors.ts'
import type { Actor } from './access.ts'
import { type ActorRow, findSessionActor, findTokenActor } from './actor-store.ts'
import type { Authenticate } from './credential.ts'
import { sha256 } from './refresh-secret.ts'
import { markTokenUsed } from './tokens/store.ts'

/** How exact `lastUsedAt` of a token is. */
const USED_EVERY_MS = 60_000

/** Makes the function that reads from the database who calls: a revoked role, session or token ends at once. */
export function createAuthenticate(db: Db): Authenticate {
  const bySession = async (userId: string, sessionId: string): Promise<Actor> => {
    const person = await findSessionActor(db, sessionId, userId)
    if (person === null) throw new AppError('SESSION_ENDED', 'Sign in again to go on.')
    return actorOf(person, null)
  }
  const byToken = async (text: string, ip: string): Promise<Actor> => {
    const token = await findTokenActor(db, sha256(text))
    if (token === null) throw new AppError('UNAUTHENTICATED', 'This API token is wrong, has expired or was revoked.')
    if (!isAllowedFrom(token.allowedCidrs, ip))
      throw new AppError('FORBIDDEN', 'This API token may not be used from your address.')
    const usedBefore = new Date(Date.now() - USED_EVERY_MS)
    if (token.lastUsedAt === null || token.lastUsedAt < usedBefore) await markTokenUsed(db, token.tokenId, usedBefore)
    return actorOf(token, { id: token.tokenId, tenantId: token.tenantId, scopes: token.scopes })
  }
  return (credential, ip) =>
    credential.kind === 'token' ? byToken(credential.token, ip) : bySession(credential.userId, credential.sessionId)
}

function actorOf(person: ActorRow, token: Extract<Actor, { kind: 'user' }>['token']): Actor {
  const { userId, email, platformRole, memberships } = person
  return {
    kind: 'user',
    userId,
    email,
    platformRole,
    memberships: new Map(memberships.map(({ tenantId, role }) => [tenantId, role])),
    suspended: new Set(memberships.filter(({ state }) => state === 'suspended').map(({ tenantId }) => tenantId)),
    token,
  }
}

function isAllowedFrom(cidrs: readonly string[], ip: string): boolean {
  if (cidrs.length === 0) return true
  const list = new BlockList()
  for (const cidr of cidrs) {
    const { address, prefix, family } = parseCidr(cidr)
    list.addSubnet(address, prefix, family === 4 ? 'ipv4' : 'ipv6')
  }
  const plain = unmapped(ip)
  return list.check(plain, plain.includes(':') ? 'ipv6' : 'ipv4')
}
