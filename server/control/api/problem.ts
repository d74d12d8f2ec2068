import type { FastifyReply } from 'fastify'
import { AppError, catalogue, type ErrorCode } from '../errors.ts'

/** Media type of errors (RFC 9457 section 3). */
export const PROBLEM_TYPE = 'application/problem+json; charset=utf-8'

/** The RFC 9457 document of an error. The cause never leaves the process. */
export function problemOf(error: AppError): object {
  const { status, title } = catalogue[error.code]
  return {
    type: `urn:nameplate:problem:${error.code.toLowerCase().replaceAll('_', '-')}`,
    title,
    status,
    detail: error.detail,
    code: error.code,
    ...(error.errors.length > 0 ? { errors: error.errors } : {}),
  }
}

/** Answers an error. */
export function sendProblem(reply: FastifyReply, error: AppError): FastifyReply {
  if (error.retryAfterSeconds !== undefined) reply.header('retry-after', String(error.retryAfterSeconds))
  if (error.code === 'UNAUTHENTICATED' || error.code === 'SESSION_ENDED') reply.header('www-authenticate', 'Bearer')
  const body = JSON.stringify(problemOf(error))
  return reply.code(error.status).header('cache-control', 'no-store').type(PROBLEM_TYPE).send(body)
}

/** Errors of Fastify itself, by their code, as ours. */
const frameworkErrors: Readonly<Record<string, readonly [ErrorCode, string]>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: ['PAYLOAD_TOO_LARGE', 'The body is larger than this call takes.'],
  FST_ERR_CTP_INVALID_MEDIA_TYPE: ['UNSUPPORTED_MEDIA_TYPE', 'Send the body as Content-Type: application/json.'],
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: ['INVALID_INPUT', 'The body is shorter or longer than its Content-Length.'],
  FST_ERR_CTP_INVALID_JSON_BODY: ['INVALID_INPUT', 'The body is not valid JSON.'],
  FST_ERR_CTP_EMPTY_JSON_BODY: ['INVALID_INPUT', 'The body is empty.'],
  FST_ERR_BAD_URL: ['INVALID_INPUT', 'The path is not a valid URL path.'],
  FST_ERR_MAX_PARAM_LENGTH: ['NOT_FOUND', 'There is no such path.'],
  FST_ERR_HANDLER_TIMEOUT: ['UNAVAILABLE', 'This took too long. Please try again.'],
}

/** SQLSTATE classes and Prisma codes (P…) that mean: the database is not there, or too busy, right now. */
const UNAVAILABLE =
  /^(08...|57P0[1-5]|57014|53[034]00|40001|40P01|ECONNREFUSED|ECONNRESET|ENOTFOUND|ETIMEDOUT|EPIPE|P1001|P1002|P1008|P1017|P2024|P2028|P2034)$/
/** Data exceptions of Postgres (a NUL in a text, a number out of range) and Prisma's word for an id that is none. */
const UNSTORABLE = /^(22...|P2023)$/
/** Out of disk space: SQLSTATE 53100 of Postgres, or the file system's. */
const FULL = /^(53100|ENOSPC|EDQUOT)$/
const RETRY_SECONDS = 2

/** Turns whatever was thrown into an error of the catalogue. Unknown ones are INTERNAL and say nothing of the cause. */
export function toAppError(error: unknown, requestId: string): AppError {
  if (error instanceof AppError) return error
  const codes = codesOf(error)
  for (const code of codes) {
    const known = frameworkErrors[code]
    if (known !== undefined) return new AppError(known[0], known[1], { cause: error })
  }
  if (codes.some((code) => FULL.test(code)))
    return new AppError('STORAGE_FULL', 'Nothing was changed. Please tell the administrator that the disk is full.', {
      cause: error,
    })
  if (codes.some((code) => UNAVAILABLE.test(code)) || isLostConnection(error))
    return new AppError('UNAVAILABLE', 'The database did not answer. Please try again in a moment.', {
      cause: error,
      retryAfterSeconds: RETRY_SECONDS,
    })
  if (codes.includes('P2025')) return new AppError('NOT_FOUND', 'It was deleted just now.', { cause: error })
  if (codes.some((code) => UNSTORABLE.test(code)))
    return new AppError('INVALID_INPUT', 'It holds a character or a number that cannot be stored.', { cause: error })
  if (isClientError(error)) return new AppError('INVALID_INPUT', 'The request cannot be read.', { cause: error })
  return new AppError('INTERNAL', `Please try again. The log has the details under request ${requestId}.`, {
    cause: error,
  })
}

const MAX_DEPTH = 8

/** Every `code` of an error and of its causes, a driver's own included. */
function codesOf(error: unknown): string[] {
  const codes: string[] = []
  let at: unknown = error
  for (let depth = 0; depth < MAX_DEPTH && typeof at === 'object' && at !== null; depth++) {
    const { code, originalCode, meta, cause } = at as Record<string, unknown>
    for (const value of [code, originalCode]) if (typeof value === 'string') codes.push(value)
    at = cause ?? driverError(meta)
  }
  return codes
}

/** Prisma hands its driver's error down in `meta`. */
function driverError(meta: unknown): unknown {
  return typeof meta === 'object' && meta !== null ? (meta as Record<string, unknown>)['driverAdapterError'] : undefined
}

/** A lost or refused connection has no code in some paths of the driver, only this text. */
function isLostConnection(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  // The pool's own word, when all its connections are taken.
  if (error.message === 'timeout exceeded when trying to connect') return true
  if (!/^(Prisma|DriverAdapter)/.test(error.name)) return false
  const text = `${error.message} ${String((error.cause as Record<string, unknown> | undefined)?.['kind'] ?? '')}`
  return /DatabaseNotReachable|ConnectionClosed|SocketTimeout|TooManyConnections|Connection terminated|timeout exceeded when trying to connect/.test(
    text,
  )
}

function isClientError(error: unknown): boolean {
  const status =
    typeof error === 'object' && error !== null ? (error as { statusCode?: unknown }).statusCode : undefined
  return typeof status === 'number' && status >= 400 && status < 500
}
