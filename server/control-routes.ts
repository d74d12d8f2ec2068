import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { createEventHistory } from './control/activity/history.ts'
import { eventRoutes } from './control/activity/routes.ts'
import { addressRoutes } from './control/addresses/routes.ts'
import { createAddressService } from './control/addresses/service.ts'
import { thisMachine } from './control/addresses/view.ts'
import { authRoutes } from './control/auth/routes.ts'
import { createSessionService } from './control/auth/sessions.ts'
import { tokenRoutes } from './control/auth/tokens/routes.ts'
import { createTokenService } from './control/auth/tokens/service.ts'
import { issuerRoutes } from './control/certificates/issuer-routes.ts'
import { createIssuerService } from './control/certificates/issuer-service.ts'
import { createAccountService } from './control/certificates/operations/account-service.ts'
import { operationRoutes } from './control/certificates/operations/routes.ts'
import { createVersionService } from './control/certificates/operations/service.ts'
import { requestRoutes } from './control/certificates/requests/routes.ts'
import { createRequestService } from './control/certificates/requests/service.ts'
import { certificateRoutes } from './control/certificates/routes.ts'
import { createCertificateService } from './control/certificates/service.ts'
import { wakePaused } from './control/certificates/store.ts'
import { uploadRoutes } from './control/certificates/uploads/routes.ts'
import { createUploadService } from './control/certificates/uploads/service.ts'
import { dnsProviderRoutes } from './control/dns/routes.ts'
import { createDnsProviderService } from './control/dns/service.ts'
import { domainRoutes } from './control/domains/domain-routes.ts'
import { createDomainService } from './control/domains/domain-service.ts'
import { hostnameRoutes } from './control/domains/routes.ts'
import { createHostnameService } from './control/domains/service.ts'
import { edgeRoutes } from './control/edges/routes.ts'
import { createEdgeService } from './control/edges/service.ts'
import { lastHttpsPort } from './control/edges/store.ts'
import { mailRoutes } from './control/mail/routes.ts'
import { createMailService } from './control/mail/service.ts'
import { planRoutes } from './control/plans/routes.ts'
import { createPlanService } from './control/plans/service.ts'
import { settingsRoutes } from './control/settings/routes.ts'
import { createSettingsService } from './control/settings/service.ts'
import { setupRoutes } from './control/setup/routes.ts'
import { createSetupService } from './control/setup/service.ts'
import { createCompressor } from './control/sites/compress.ts'
import { releaseRoutes } from './control/sites/release-routes.ts'
import { createReleaseService } from './control/sites/release-service.ts'
import { siteRoutes } from './control/sites/routes.ts'
import { createSiteService } from './control/sites/service.ts'
import { memberRoutes } from './control/tenants/member-routes.ts'
import { createMemberService } from './control/tenants/members.ts'
import { tenantRoutes } from './control/tenants/routes.ts'
import { createTenantService } from './control/tenants/service.ts'
import { trafficRoutes } from './control/traffic/routes.ts'
import { createTrafficService } from './control/traffic/service.ts'
import { userRoutes } from './control/users/routes.ts'
import { createUserService } from './control/users/service.ts'
import { type Base, hooks, type Shared } from './control-shared.ts'

/** The routes of all domains. */
export function routesOf({ db, vault, version, panelHostname }: Base, shared: Shared): FastifyPluginAsyncTypebox[] {
  const { reach, dialler, doctor, ask, dnsRecords: records, checker, blobs, liveness, streams, tails } = shared
  const { doctorIssuers, proofs } = shared
  const sessions = createSessionService(db, () => vault.deriveAll('refresh'))
  const hostnameDeps = {
    db,
    checker,
    hooks,
    dialler,
    liveHostnames: liveness.liveHostnames,
    reservedNames: panelHostname === null ? [] : [panelHostname],
    doctor,
    issuersForDiagnosis: () => doctorIssuers(['http-01', 'tls-alpn-01']),
  }
  return [
    setupRoutes(createSetupService(db, sessions)),
    authRoutes(db, sessions),
    tokenRoutes(createTokenService(db)),
    planRoutes(createPlanService(db)),
    tenantRoutes(createTenantService(db)),
    memberRoutes(createMemberService(db)),
    userRoutes(createUserService(db)),
    settingsRoutes(createSettingsService(db, vault, () => lastHttpsPort(db))),
    mailRoutes(createMailService({ account: shared.mailAccount })),
    eventRoutes(createEventHistory(db), streams),
    edgeRoutes(createEdgeService({ db })),
    siteRoutes(createSiteService({ db, reach })),
    trafficRoutes(createTrafficService(db), tails),
    releaseRoutes(createReleaseService({ db, blobs, compress: createCompressor() })),
    addressRoutes(createAddressService({ db, machine: thisMachine })),
    hostnameRoutes(createHostnameService(hostnameDeps)),
    domainRoutes(createDomainService(hostnameDeps)),
    certificateRoutes(createCertificateService({ db, vault, dns: proofs })),
    dnsProviderRoutes(createDnsProviderService({ db, vault, reach, records, ask, wake: wakePaused })),
    issuerRoutes(createIssuerService({ db, vault, version })),
    uploadRoutes(createUploadService({ db, vault })),
    requestRoutes(createRequestService({ db, vault })),
    operationRoutes(createVersionService({ db, dns: proofs }), createAccountService({ db, vault })),
  ]
}
