import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { authRoutes } from '../control/auth/routes.ts'
import { createSessionService } from '../control/auth/sessions.ts'
import { tokenRoutes } from '../control/auth/tokens/routes.ts'
import { createTokenService } from '../control/auth/tokens/service.ts'
import { lastHttpsPort } from '../control/edges/store.ts'
import { readMailAccount } from '../control/mail/account.ts'
import { mailRoutes } from '../control/mail/routes.ts'
import { createMailService } from '../control/mail/service.ts'
import { planRoutes } from '../control/plans/routes.ts'
import { createPlanService } from '../control/plans/service.ts'
import { settingsRoutes } from '../control/settings/routes.ts'
import { createSettingsService } from '../control/settings/service.ts'
import { readPlatformSettings } from '../control/settings/store.ts'
import { setupRoutes } from '../control/setup/routes.ts'
import { createSetupService } from '../control/setup/service.ts'
import { memberRoutes } from '../control/tenants/member-routes.ts'
import { createMemberService } from '../control/tenants/members.ts'
import { tenantRoutes } from '../control/tenants/routes.ts'
import { createTenantService } from '../control/tenants/service.ts'
import { userRoutes } from '../control/users/routes.ts'
import { createUserService } from '../control/users/service.ts'
import type { RigParts } from './api.ts'

/** The routes of people, tenants and settings, for a rig. */
export function platformRoutes({ db, vault }: RigParts): FastifyPluginAsyncTypebox[] {
  const sessions = createSessionService(db, () => vault.deriveAll('refresh'))
  return [
    authRoutes(db, sessions),
    setupRoutes(createSetupService(db, sessions)),
    tokenRoutes(createTokenService(db)),
    planRoutes(createPlanService(db)),
    tenantRoutes(createTenantService(db)),
    memberRoutes(createMemberService(db)),
    userRoutes(createUserService(db)),
    settingsRoutes(createSettingsService(db, vault, () => lastHttpsPort(db))),
    mailRoutes(
      createMailService({ account: async () => readMailAccount(db, vault, (await readPlatformSettings(db)).mail) }),
    ),
  ]
}
