import { type Static, Type } from 'typebox'
import { Id, ListOf, ListQuery, Nullable, Time } from '../schema.ts'

/**
 * Something that happened. The same object is an item of `GET /events/history` and the `data` of one
 * Server-Sent Event of `GET /events`.
 */
export const EventView = Type.Object({
  id: Type.String({ description: 'Rises with time; also the id of the Server-Sent Event.' }),
  at: Time,
  tenantId: Nullable(Id),
  actor: Type.String({ description: '`user:<id>`, `token:<id>` or `system`.' }),
  action: Type.String({ description: 'For example `hostname.verified`.' }),
  subjectId: Nullable(Id),
  subjectName: Nullable(Type.String()),
  detail: Type.Unknown(),
})

/** An event as the API shows it. */
export type EventView = Static<typeof EventView>

/** Query of `GET /events/history`; newest first. */
export const HistoryQuery = Type.Interface([ListQuery], {
  tenantId: Type.Optional(Id),
  subjectId: Type.Optional(Id),
  action: Type.Optional(Type.String({ maxLength: 100, description: 'Exactly, or a prefix that ends in a dot.' })),
})

/** Query of `GET /events/history`. */
export type HistoryQuery = Static<typeof HistoryQuery>

/** Answer of `GET /events/history`. */
export const EventList = ListOf(EventView)

/** Query of `GET /events`: narrow the stream to one object or tenant. */
export const StreamQuery = Type.Object({
  tenantId: Type.Optional(Id),
  subjectId: Type.Optional(Id),
  after: Type.Optional(Type.String({ pattern: '^\\d{1,18}$', description: 'As Last-Event-ID.' })),
})

/** Query of `GET /events`. */
export type StreamQuery = Static<typeof StreamQuery>
