import { type Static, Type } from 'typebox'
import { Id, ListOf, Nullable, Time } from '../schema.ts'

const Name = Type.String({ minLength: 1, maxLength: 100 })
const Count = Type.Integer({ minimum: 0, maximum: 1_000_000 })
const Bytes = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })

/** Body of `POST /plans`; a limit that is left out or null does not limit. */
export const NewPlan = Type.Object({
  name: Name,
  maxSites: Type.Optional(Nullable(Count)),
  maxHostnames: Type.Optional(Nullable(Count)),
  maxReleaseBytes: Type.Optional(Nullable(Bytes)),
  issuerIds: Type.Optional(
    Type.Array(Id, {
      maxItems: 20,
      uniqueItems: true,
      description: 'Issuers in the order in which they are tried; empty: all that are enabled.',
    }),
  ),
})

/** Body of `POST /plans`. */
export type NewPlan = Static<typeof NewPlan>

/** Body of `PATCH /plans/{id}`. */
export const PlanChange = Type.Partial(NewPlan)

/** Body of `PATCH /plans/{id}`. */
export type PlanChange = Static<typeof PlanChange>

/** A plan: what a tenant may have. Null: no limit. */
export const PlanView = Type.Object({
  id: Id,
  name: Type.String(),
  maxSites: Nullable(Type.Integer()),
  maxHostnames: Nullable(Type.Integer()),
  maxReleaseBytes: Nullable(Type.Integer()),
  issuerIds: Type.Array(Id),
  createdAt: Time,
  updatedAt: Time,
})

/** A plan as the API shows it. */
export type PlanView = Static<typeof PlanView>

/** Answer of `GET /plans`. */
export const PlanList = ListOf(PlanView)
