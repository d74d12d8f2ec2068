import { type Actor, actorName, requireAdmin, requireUser } from '../auth/access.ts'
import { type Db, isForeignKeyViolation, isUniqueViolation, write } from '../db.ts'
import { AppError, notFound } from '../errors.ts'
import { recordEvent } from '../events/record.ts'
import type { Plan } from '../generated/client.ts'
import { requireIssuers } from '../known-issuers.ts'
import { type Page, type Paged, pageArguments, paged, type WriteOptions } from '../schema.ts'
import type { NewPlan, PlanChange, PlanView } from './schema.ts'
import { deletePlan, insertPlan, updatePlan } from './store.ts'

/** Plans: everybody who is signed in may read them, platform admins change them. */
export type PlanService = {
  list(actor: Actor, page: Page): Promise<Paged<PlanView>>
  get(actor: Actor, id: string): Promise<PlanView>
  create(actor: Actor, input: NewPlan, options: WriteOptions): Promise<PlanView>
  /** A lower limit deletes nothing; it stops what would be added. */
  change(actor: Actor, id: string, input: PlanChange, options: WriteOptions): Promise<PlanView>
  /** Throws IN_USE while a tenant has the plan. */
  remove(actor: Actor, id: string, options: WriteOptions): Promise<void>
}

/** Makes the service. */
export function createPlanService(db: Db): PlanService {
  const find = async (id: string): Promise<Plan> => {
    const plan = await db.plan.findUnique({ where: { id } })
    if (plan === null) throw notFound('plan')
    return plan
  }
  const saved = async (
    actor: Actor,
    action: string,
    options: WriteOptions,
    work: Parameters<typeof write<Plan>>[2],
  ) => {
    try {
      return planView(
        await write(db, options, async (tx) => {
          const plan = await work(tx)
          await recordEvent(tx, planEvent(actor, plan, action))
          return plan
        }),
      )
    } catch (error) {
      if (isUniqueViolation(error)) throw new AppError('CONFLICT', 'There is a plan of this name already.')
      throw error
    }
  }
  return {
    async list(actor, page) {
      requireUser(actor)
      return paged(await db.plan.findMany(pageArguments(page)), page, planView)
    },
    async get(actor, id) {
      requireUser(actor)
      return planView(await find(id))
    },
    async create(actor, input, options) {
      requireAdmin(actor)
      return saved(actor, 'plan.created', options, async (tx) => {
        await requireIssuers(tx, input.issuerIds)
        return insertPlan(tx, input)
      })
    },
    async change(actor, id, input, options) {
      requireAdmin(actor)
      await find(id)
      return saved(actor, 'plan.changed', options, async (tx) => {
        await requireIssuers(tx, input.issuerIds)
        return updatePlan(tx, id, input)
      })
    },
    async remove(actor, id, options) {
      requireAdmin(actor)
      const plan = await find(id)
      try {
        await write(db, options, async (tx) => {
          await deletePlan(tx, id)
          await recordEvent(tx, planEvent(actor, plan, 'plan.deleted'))
        })
      } catch (error) {
        if (isForeignKeyViolation(error))
          throw new AppError('IN_USE', 'Tenants have this plan; give them another one first.')
        throw error
      }
    },
  }
}

function planEvent(actor: Actor, plan: Plan, action: string) {
  return { actor: actorName(actor), tenantId: null, action, subjectId: plan.id, subjectName: plan.name }
}

function planView(plan: Plan): PlanView {
  return {
    id: plan.id,
    name: plan.name,
    maxSites: plan.maxSites,
    maxHostnames: plan.maxHostnames,
    maxReleaseBytes: plan.maxReleaseBytes === null ? null : Number(plan.maxReleaseBytes),
    issuerIds: plan.issuerIds,
    createdAt: plan.createdAt.toISOString(),
    updatedAt: plan.updatedAt.toISOString(),
  }
}
