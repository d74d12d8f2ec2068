import type { Actor } from '../auth/access.ts'
import { AppError } from '../errors.ts'

/** A suspended tenant's own people may look, not change: TENANT_SUSPENDED. Platform admins go on. */
export function mayChange(actor: Actor, state: 'active' | 'suspended' | undefined): void {
  if (state !== 'suspended' || actor.kind === 'system') return
  if (actor.kind === 'user' && actor.platformRole === 'admin') return
  throw new AppError(
    'TENANT_SUSPENDED',
    'This tenant is suspended: you can look, but change nothing. Ask your provider.',
  )
}
