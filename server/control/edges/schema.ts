import { type Static, Type } from 'typebox'
import { Id, ListOf, Nullable, Time } from '../schema.ts'

/** A record at or below an edge's revision that this edge does not serve (yet). */
export const EdgeException = Type.Object({
  kind: Type.String(),
  key: Type.String({ description: '`*` stands for more records of this kind than are listed.' }),
  revision: Type.Integer(),
  state: Type.Union([Type.Literal('pending'), Type.Literal('refused')]),
  reason: Nullable(Type.String()),
})

/** An edge as lists show it. */
export const Edge = Type.Object({
  id: Id,
  name: Type.String(),
  isLive: Type.Boolean({ description: 'Its lease has not run out.' }),
  feedId: Nullable(Id),
  isCurrentFeed: Type.Boolean({ description: 'False while it takes everything anew.' }),
  revision: Type.Integer({ description: 'It serves everything up to here, but for its exceptions.' }),
  lag: Type.Integer({ description: 'Revisions of the feed that it has not confirmed.' }),
  leaseExpiresAt: Nullable(Time),
  workers: Type.Integer(),
  runtime: Nullable(Type.String()),
  version: Nullable(Type.String()),
  httpsPort: Nullable(Type.Integer({ description: 'Where it answers HTTPS.' })),
  exceptionCount: Type.Integer(),
  createdAt: Time,
})

/** One edge with its oldest exceptions. */
export const EdgeDetail = Type.Object({ ...Edge.properties, exceptions: Type.Array(EdgeException) })

/** A page of edges. */
export const EdgeList = ListOf(Edge)

/** An edge as lists show it. */
export type EdgeView = Static<typeof Edge>

/** One edge with its oldest exceptions. */
export type EdgeDetailView = Static<typeof EdgeDetail>
