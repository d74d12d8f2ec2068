import type { Actor } from '../auth/access.ts'
import { AppError } from '../errors.ts'

/** Refuses changes by a suspended tenant's own people with TENANT_SUSPENDED; platform admins go on. */
export function mayChange(actor: Actor, tenantState: 'active' | 'suspended'): void {
  const isOwn = actor.kind === 'user' && actor.platformRole !== 'admin'
  if (tenantState === 'active' || !isOwn) return
  throw new AppError(
    'TENANT_SUSPENDED',
    'This customer is suspended: you can look, but change nothing. Ask your provider.',
  )
}
