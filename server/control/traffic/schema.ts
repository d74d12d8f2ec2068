import { type Static, Type } from 'typebox'
import { type TrafficField, trafficFields } from '../../contract/traffic.ts'
import { Time } from '../schema.ts'

const descriptions: Readonly<Partial<Record<TrafficField, string>>> = {
  requests: 'Requests that are over, however they were answered.',
  bytesOut: 'Bytes of bodies that were sent.',
  bytesIn: 'Bytes of request bodies that were passed on, and what visitors sent through WebSockets.',
  aborted: 'The client left before an answer.',
  refused: 'Refused before the site could answer; 421 is among them.',
  misdirected: 'Answered with 421: for a host of another site than the one of the handshake.',
  plain: 'Over plain HTTP.',
  resumed: 'On connections whose TLS session was resumed.',
  withoutServerName: 'On connections whose client sent no server name.',
}

const counters = Object.fromEntries(
  trafficFields.map((field) => [
    field,
    Type.Integer({ minimum: 0, ...(descriptions[field] === undefined ? {} : { description: descriptions[field] }) }),
  ]),
) as { [F in TrafficField]: ReturnType<typeof Type.Integer> }

/** Query of both calls. */
export const TrafficQuery = Type.Object({
  from: Type.Optional(
    Type.String({ format: 'date-time', description: 'First hour; a day before `to` when left out.' }),
  ),
  to: Type.Optional(Type.String({ format: 'date-time', description: 'Before this; now when left out.' })),
  by: Type.Optional(Type.Union([Type.Literal('hour'), Type.Literal('day')], { default: 'hour' })),
})

/** What was counted, oldest first; hours and days (UTC) without a request are left out. */
export const Traffic = Type.Object({
  from: Time,
  to: Time,
  by: Type.Union([Type.Literal('hour'), Type.Literal('day')]),
  items: Type.Array(Type.Object({ at: Time, ...counters })),
})

/** Query of both calls. */
export type TrafficQuery = Static<typeof TrafficQuery>

/** What was counted. */
export type Traffic = Static<typeof Traffic>
