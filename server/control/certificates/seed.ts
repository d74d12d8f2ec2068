import { randomUUIDv7 } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { Logger } from '../../process/log.ts'
import { type Settings, SettingsError } from '../../process/settings.ts'
import { type Db, hint, isUniqueViolation, write } from '../db.ts'
import type { Vault } from '../vault.ts'
import { readDirectoryMeta } from './acme-session.ts'
import { IssuerProblem } from './issuer.ts'
import { checkRoots, columnsOf } from './issuer-service.ts'
import { allIssuers, type IssuerRow, insertIssuer, issuerSecret, updateIssuer } from './issuer-store.ts'
import { createLocalRoot } from './local-issuer.ts'
import { wakeForIssuers } from './store.ts'

/** After every ACME issuer, unless an administrator says otherwise. */
const LOCAL_PRIORITY = 1_000
/** The start waits no longer for a CA. */
const SEED_TIMEOUT_MS = 5_000

type SeedSettings = Pick<
  Settings,
  'acmeDirectory' | 'acmeTermsAgreed' | 'acmeCaFile' | 'acmeEabKid' | 'acmeEabHmacKey' | 'acmeEmail' | 'acmeProfile'
>

/**
 * Makes the first issuer: the ACME directory of the settings, or the local CA when there is none. The
 * local CA alone does not count, so a directory that is set later is still taken; other differences
 * are warned of. A directory that is down, or whose terms are not agreed to, is a warning too: its
 * certificates then wait. Throws `SettingsError` for a trust root file that cannot be read.
 */
export async function seedIssuer(
  db: Db,
  vault: Vault,
  settings: SeedSettings,
  log: Logger,
  version: string,
): Promise<void> {
  const present = await allIssuers(db)
  const { acmeDirectory } = settings
  if (acmeDirectory === null) {
    if (present.length === 0) await seedLocal(db, vault)
    return
  }
  const ofSettings = present.find((row) => row.directoryUrl === acmeDirectory)
  const hasAcme = present.some((row) => row.kind === 'acme')
  if (!hasAcme) return seedAcme(db, vault, { ...settings, acmeDirectory }, log, version)
  if (ofSettings === undefined) {
    log.warn('NAMEPLATE_ACME_DIRECTORY differs from the issuers that are set up and is not used; add it under Issuers')
    return
  }
  await agreeLater(db, ofSettings, settings, log)
}

async function seedLocal(db: Db, vault: Vault): Promise<void> {
  const id = randomUUIDv7()
  const { rootPem, rootKeyPem } = await createLocalRoot(new Date())
  const rootKeySealed = vault.seal(rootKeyPem, issuerSecret.rootKey(id))
  const columns = { id, kind: 'local' as const, name: 'Local CA', priority: LOCAL_PRIORITY, rootPem, rootKeySealed }
  await write(db, {}, (tx) => insertIssuer(tx, columns)).catch(ignoreOtherReplica)
}

async function seedAcme(
  db: Db,
  vault: Vault,
  settings: SeedSettings & { readonly acmeDirectory: string },
  log: Logger,
  version: string,
): Promise<void> {
  const { acmeDirectory: directoryUrl, acmeTermsAgreed, acmeEabKid, acmeEabHmacKey, acmeEmail, acmeProfile } = settings
  if ((acmeEabKid === null) !== (acmeEabHmacKey === null))
    throw new SettingsError('NAMEPLATE_ACME_EAB_KID and NAMEPLATE_ACME_EAB_HMAC_KEY: give both or neither')
  const trustRootPem = readRoots(settings.acmeCaFile)
  const input = {
    name: new URL(directoryUrl).hostname,
    directoryUrl,
    termsAgreed: acmeTermsAgreed,
    ...(trustRootPem === null ? {} : { trustRootPem }),
    ...(acmeEmail === null ? {} : { email: acmeEmail }),
    ...(acmeProfile === null ? {} : { profile: acmeProfile }),
    ...(acmeEabKid === null || acmeEabHmacKey === null ? {} : { eabKid: acmeEabKid, eabHmacKey: acmeEabHmacKey }),
  }
  await write(db, {}, async (tx) => {
    await insertIssuer(tx, columnsOf(input, vault))
    await wakeForIssuers(tx)
    await hint(tx, 'certificates')
  }).catch(ignoreOtherReplica)
  await warnOfDirectory({ directoryUrl, trustRootPem, version }, acmeTermsAgreed, log)
}

/** Whoever follows the warning and starts again means this issuer. */
async function agreeLater(db: Db, row: IssuerRow, settings: SeedSettings, log: Logger): Promise<void> {
  if (row.termsAgreedAt === null && settings.acmeTermsAgreed) {
    await write(db, {}, async (tx) => {
      await updateIssuer(tx, row.id, { termsAgreedAt: new Date() })
      await wakeForIssuers(tx)
    })
  }
  const differs =
    (settings.acmeEmail !== null && settings.acmeEmail !== row.email) ||
    (settings.acmeProfile !== null && settings.acmeProfile !== row.profile) ||
    (settings.acmeEabKid !== null && settings.acmeEabKid !== row.eabKid)
  if (differs)
    log.warn('NAMEPLATE_ACME_* differs from the issuer that is set up and is not used; change it under Issuers')
}

async function warnOfDirectory(
  directory: { directoryUrl: string; trustRootPem: string | null; version: string },
  isAgreed: boolean,
  log: Logger,
): Promise<void> {
  try {
    const { termsOfService } = await readDirectoryMeta({ ...directory, timeoutMs: SEED_TIMEOUT_MS })
    if (termsOfService === null || isAgreed) return
    log.warn(
      `no certificate is ordered yet: the CA's terms (${termsOfService}) are not agreed to; set NAMEPLATE_ACME_TERMS_AGREED=true or agree under Issuers`,
    )
  } catch (error) {
    if (!(error instanceof IssuerProblem)) throw error
    log.warn(`NAMEPLATE_ACME_DIRECTORY cannot be used now (${error.detail}); certificates are ordered when it answers`)
  }
}

function readRoots(file: string | null): string | null {
  if (file === null) return null
  let pem: string
  try {
    pem = readFileSync(file, 'utf8')
  } catch (error) {
    throw new SettingsError(`NAMEPLATE_ACME_CA_FILE: ${file} cannot be read (${(error as Error).message})`)
  }
  try {
    checkRoots(pem)
  } catch (cause) {
    throw new SettingsError(`NAMEPLATE_ACME_CA_FILE: ${file} is not one or more certificates in PEM`, { cause })
  }
  return pem
}

/** Another replica seeded in the same moment: its issuer is as good. */
function ignoreOtherReplica(error: unknown): void {
  if (!isUniqueViolation(error)) throw error
}
