import type { Readable } from 'node:stream'
import { type Static, type TSchema, Type } from 'typebox'
import { AppError } from './errors.ts'

/** What all routes share: ids, times, lists. Domain schemas are in each domain's `schema.ts`. */

/** A UUIDv7. */
export const Id = Type.String({ format: 'uuid' })

/** RFC 3339, UTC. */
export const Time = Type.String({ format: 'date-time' })

/** A value that may be null. */
export const Nullable = <T extends TSchema>(schema: T) => Type.Union([schema, Type.Null()])

/** Path parameters of one object. */
export const IdParams = Type.Object({ id: Id })

/** Query of a list: `cursor` is the opaque `nextCursor` of the page before. */
export const ListQuery = Type.Object({
  cursor: Type.Optional(Type.String({ maxLength: 200 })),
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 200, default: 50 })),
})

/** Query of every resource write. */
export const WriteQuery = Type.Object({
  dryRun: Type.Optional(Type.Boolean({ default: false, description: 'Check and answer as if, change nothing.' })),
})

/** A page of `item`. */
export const ListOf = <T extends TSchema>(item: T) =>
  Type.Object({ items: Type.Array(item), nextCursor: Nullable(Type.String()) })

/** RFC 9457 problem document. */
export const Problem = Type.Object(
  {
    type: Type.String(),
    title: Type.String(),
    status: Type.Integer(),
    detail: Type.String(),
    code: Type.String(),
    errors: Type.Optional(Type.Array(Type.Object({ field: Type.String(), detail: Type.String() }))),
  },
  { $id: 'Problem' },
)

/** A page request as services take it. */
export type Page = { readonly cursor?: string; readonly limit?: number }

/** A page as services give it. */
export type Paged<T> = { items: T[]; nextCursor: string | null }

/** Options of every write of a service. */
export type WriteOptions = Static<typeof WriteQuery>

const DEFAULT_LIMIT = 50

/** Prisma arguments of a page over UUIDv7 ids, newest last; asks for one row more than is shown. Throws INVALID_CURSOR. */
export function pageArguments(page: Page): {
  take: number
  orderBy: { id: 'asc' }
  cursor?: { id: string }
  skip?: number
} {
  const take = (page.limit ?? DEFAULT_LIMIT) + 1
  if (page.cursor === undefined) return { take, orderBy: { id: 'asc' } }
  const id = Buffer.from(page.cursor, 'base64url').toString('latin1')
  if (!/^[0-9a-f-]{36}$/.test(id))
    throw new AppError('INVALID_CURSOR', 'Use the nextCursor of the page before, unchanged.')
  return { take, orderBy: { id: 'asc' }, cursor: { id }, skip: 1 }
}

/** Cuts the extra row off and makes the cursor of the next page. */
export function paged<Row extends { id: string }, T>(rows: Row[], page: Page, view: (row: Row) => T): Paged<T> {
  const limit = page.limit ?? DEFAULT_LIMIT
  const shown = rows.slice(0, limit)
  const last = shown.at(-1)
  const nextCursor = rows.length > limit && last !== undefined ? Buffer.from(last.id).toString('base64url') : null
  return { items: shown.map(view), nextCursor }
}

/** A response of Server-Sent Events (HTML Living Standard 9.2), for a route's schema. */
export function EventStream(description: string) {
  return { description, content: { 'text/event-stream': { schema: Type.Unsafe<Readable>({ type: 'string' }) } } }
}

/** Header fields of such a response: nobody on the way may keep it or hold it back. */
export const eventStreamFields = {
  'content-type': 'text/event-stream',
  'cache-control': 'no-store',
  'x-accel-buffering': 'no',
} as const
