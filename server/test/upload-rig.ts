import { randomBytes } from 'node:crypto'
import { issuerRoutes } from '../control/certificates/issuer-routes.ts'
import { createIssuerService } from '../control/certificates/issuer-service.ts'
import { createAccountService } from '../control/certificates/operations/account-service.ts'
import { operationRoutes } from '../control/certificates/operations/routes.ts'
import { createVersionService } from '../control/certificates/operations/service.ts'
import { startOperationLoop } from '../control/certificates/operations/work.ts'
import { requestRoutes } from '../control/certificates/requests/routes.ts'
import { createRequestService } from '../control/certificates/requests/service.ts'
import { certificateRoutes } from '../control/certificates/routes.ts'
import { createCertificateService } from '../control/certificates/service.ts'
import { uploadRoutes } from '../control/certificates/uploads/routes.ts'
import { createUploadService } from '../control/certificates/uploads/service.ts'
import type { Db } from '../control/db.ts'
import { openHints } from '../control/jobs/hints.ts'
import type { Vault } from '../control/vault.ts'
import type { Logger } from '../process/log.ts'
import { type ApiRig, createApiRig } from './api.ts'
import { createVerifiedHostname, noDns, quietLog } from './certificate-rig.ts'
import { createTestAuthority, type TestAuthority, type TestCertificate } from './certificates.ts'

/** The API of certificates, with proven hostnames of the rig's tenant and a CA that tenants deal with. */
export type UploadRig = ApiRig & {
  readonly siteId: string
  readonly authority: TestAuthority
  /** Adds a proven hostname of the rig's tenant. Returns its id. */
  addHostname(name: string): Promise<string>
  /** Uploads as the member; fails the test when it is refused. Returns the answer's body. */
  upload(certificate: TestCertificate, more?: object): Promise<{ id: string; fingerprint: string }>
}

/** Makes a rig; end it with `await using`. */
export async function createUploadRig(options: { readonly log?: Logger } = {}): Promise<UploadRig> {
  const rig = await createApiRig({
    ...options,
    routes: ({ db, vault }) => [
      certificateRoutes(createCertificateService({ db, vault, dns: noDns })),
      issuerRoutes(createIssuerService({ db, vault, version: 'test' })),
      uploadRoutes(createUploadService({ db, vault })),
      requestRoutes(createRequestService({ db, vault })),
      operationRoutes(createVersionService({ db, dns: noDns }), createAccountService({ db, vault })),
    ],
  })
  const { db, tenantId } = rig
  const site = await db.site.create({ data: { tenantId, name: randomBytes(4).toString('hex'), kind: 'static' } })
  return {
    ...rig,
    siteId: site.id,
    authority: await createTestAuthority(),
    addHostname: (name) => createVerifiedHostname(db, { tenantId, siteId: site.id }, name),
    async upload({ chainPem, privateKeyPem }, more = {}) {
      const payload = { certificatePem: chainPem, privateKeyPem, ...more }
      const answer = await rig.as('member').inject({ method: 'POST', url: '/certificates', payload })
      if (answer.statusCode !== 201) throw new Error(answer.body)
      return answer.json()
    },
  }
}

/** Starts the loop that tells CAs what is wanted; stopped by `await using`. */
export function startOperations(deps: {
  readonly db: Db
  readonly url: string
  readonly vault: Vault
}): AsyncDisposable {
  const log = quietLog()
  const hints = openHints(deps.url, log)
  const loop = startOperationLoop({ ...deps, hints, log, version: 'test' })
  return {
    async [Symbol.asyncDispose]() {
      await loop.stop()
      await hints.close()
    },
  }
}
