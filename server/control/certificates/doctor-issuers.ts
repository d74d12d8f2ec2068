import type { Db } from '../db.ts'
import type { ProofMethod } from '../domains/doctor/finding.ts'
import type { DoctorIssuer } from '../domains/doctor/observation.ts'
import { readDirectoryMeta } from './acme-session.ts'
import { IssuerProblem } from './issuer.ts'
import { allIssuers, type IssuerRow } from './issuer-store.ts'

/** Directories change their CAA names about never. */
const KEPT_MS = 3_600_000
/** A CA that is down is asked again sooner. */
const FAILURE_KEPT_MS = 60_000
/** A person waits for it. */
const TIMEOUT_MS = 3_000

type Kept = { readonly stamp: number; readonly until: number; readonly identities: Promise<readonly string[] | null> }

/** Reads the issuers for names that can be proven in these ways. */
export type DoctorIssuers = (methods: readonly ProofMethod[]) => Promise<DoctorIssuer[]>

/**
 * The issuers as the doctor judges them: enabled ACME issuers, the first choice first; the local CA heeds no
 * CAA. `methods` are the ways by which the names in question can be proven. Never throws for a CA that is down:
 * what it calls itself in CAA is null then.
 */
export function createDoctorIssuers(deps: {
  readonly db: Db
  readonly version: string
  readonly now?: () => number
}): DoctorIssuers {
  const now = deps.now ?? Date.now
  const kept = new Map<string, Kept>()
  const identitiesOf = (row: IssuerRow): Promise<readonly string[] | null> => {
    const stamp = row.updatedAt.getTime()
    const present = kept.get(row.id)
    if (present?.stamp === stamp && present.until > now()) return present.identities
    const identities = readIdentities(row, deps.version)
    kept.set(row.id, { stamp, until: now() + KEPT_MS, identities })
    void identities.then((value) => {
      if (value === null) kept.set(row.id, { stamp, until: now() + FAILURE_KEPT_MS, identities })
    })
    return identities
  }
  return async (methods) => {
    const rows = (await allIssuers(deps.db)).filter(({ kind, isEnabled }) => kind === 'acme' && isEnabled)
    for (const id of kept.keys()) if (!rows.some((row) => row.id === id)) kept.delete(id)
    return Promise.all(
      rows.map(async (row) => ({
        id: row.id,
        name: row.name,
        caaIdentities: await identitiesOf(row),
        accountUrl: row.accounts[0]?.url ?? null,
        methods,
      })),
    )
  }
}

/** `meta.caaIdentities` of the directory (RFC 8555 section 9.7.6); null when it says none or nothing. */
async function readIdentities(row: IssuerRow, version: string): Promise<readonly string[] | null> {
  const { directoryUrl, trustRootPem } = row
  if (directoryUrl === null) return null
  try {
    const { caaIdentities } = await readDirectoryMeta({ directoryUrl, trustRootPem, version, timeoutMs: TIMEOUT_MS })
    return caaIdentities.length === 0 ? null : caaIdentities
  } catch (error) {
    if (!(error instanceof IssuerProblem)) throw error
    return null
  }
}
