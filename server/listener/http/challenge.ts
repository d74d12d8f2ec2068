import { httpChallengePath as ACME, challengeMark } from '../../contract/challenge-answer.ts'
import { http01Key } from '../../contract/records.ts'
import { sendErrorPage } from './error-pages.ts'
import { type Exchange, send } from './exchange.ts'
import type { RecordCache } from './record-cache.ts'

/** The HTTP proof of ownership: what we serve ourselves can prove nothing, so it is never answered. */
const PROOF = '/.well-known/nameplate-challenge/'
/** base64url (RFC 8555 section 8.3); the length is ours. */
const TOKEN = /^[A-Za-z0-9_-]{1,256}$/

/** Whether a decoded path is answered by us on every host. */
export function isOurPath(path: string): boolean {
  return path.startsWith(ACME) || path.startsWith(PROOF)
}

/**
 * Answers the paths that are ours on every host, whatever the site holds. Returns false for all
 * other paths. `path` is decoded, so that no spelling of it leads to a site's content.
 */
export function answerChallenge(exchange: Exchange, records: RecordCache, host: string, path: string): boolean {
  if (path.startsWith(PROOF)) {
    sendErrorPage(exchange, 404)
    return true
  }
  if (!path.startsWith(ACME)) return false
  const token = path.slice(ACME.length)
  const challenge = TOKEN.test(token) ? records.get('challenge', http01Key(token)) : null
  const isAsked = exchange.method === 'GET' || exchange.method === 'HEAD'
  const isOurs = challenge !== null && 'keyAuthorization' in challenge && challenge.name === host
  if (!isOurs || !isAsked) sendErrorPage(exchange, 404, unknownFields)
  else send(exchange, 200, challengeFields, Buffer.from(challenge.keyAuthorization))
  return true
}

/** So that it can be told from the 404 of any other server. */
const unknownFields = [[challengeMark.field, challengeMark.unknownToken]] as const

const challengeFields = [
  ['content-type', 'application/octet-stream'],
  ['cache-control', 'no-store'],
] as const
