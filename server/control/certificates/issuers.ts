import type { Db } from '../db.ts'
import type { Vault } from '../vault.ts'
import { createAcmeIssuer } from './acme-issuer.ts'
import type { CaObserver } from './ca-observer.ts'
import type { Issuer } from './issuer.ts'
import { ensureAccountRow, type IssuerRow, issuerSecret, saveAccountUrl } from './issuer-store.ts'
import { createLocalIssuer } from './local-issuer.ts'

/** The issuers in use: connections, nonces and accounts are kept between orders. */
export type Issuers = {
  /** The issuer of a row, or its staging directory; made anew when the row was changed. */
  use(row: IssuerRow, isStaging?: boolean): Issuer
  /** Forgets what is kept of an issuer, its account above all. */
  drop(issuerId: string): void
  close(): void
}

/** Makes issuers of rows: opens what is sealed, nothing is sent yet. */
export function createIssuers(deps: Deps): Issuers {
  const kept = new Map<string, { readonly stamp: number; readonly issuer: Issuer }>()
  const drop = (id: string): void => {
    for (const key of [id, `${id} staging`]) {
      kept.get(key)?.issuer.close()
      kept.delete(key)
    }
  }
  return {
    use(row, isStaging = false) {
      const stamp = row.updatedAt.getTime()
      const key = isStaging ? `${row.id} staging` : row.id
      const present = kept.get(key)
      if (present?.stamp === stamp) return present.issuer
      present?.issuer.close()
      const issuer = row.kind === 'local' ? makeLocal(deps, row) : makeAcme(deps, row, isStaging)
      kept.set(key, { stamp, issuer })
      return issuer
    },
    drop,
    close() {
      for (const { issuer } of kept.values()) issuer.close()
      kept.clear()
    },
  }
}

function makeLocal({ vault, now }: { vault: Vault; now: () => Date }, row: IssuerRow): Issuer {
  const { rootPem, rootKeySealed } = row
  if (rootPem === null || rootKeySealed === null) throw new Error(`issuer ${row.id} has no root`)
  const rootKeyPem = vault.unseal(rootKeySealed, issuerSecret.rootKey(row.id)).toString()
  return createLocalIssuer({ id: row.id, root: { rootPem, rootKeyPem }, now })
}

type Deps = {
  readonly db: Db
  readonly vault: Vault
  readonly version: string
  readonly now: () => Date
  /** Measures the calls to CAs. */
  readonly observer?: Pick<CaObserver, 'forIssuer'>
}

function makeAcme({ db, vault, version, now, observer }: Deps, row: IssuerRow, isStaging: boolean): Issuer {
  const { id, eabKid, eabKeySealed } = row
  const directoryUrl = isStaging ? row.stagingUrl : row.directoryUrl
  if (directoryUrl === null) throw new Error(`issuer ${id} has no directory`)
  const eab =
    eabKid === null || eabKeySealed === null
      ? null
      : { kid: eabKid, hmacKey: vault.unseal(eabKeySealed, issuerSecret.eabKey(id)).toString() }
  return createAcmeIssuer({
    id,
    directoryUrl,
    trustRootPem: row.trustRootPem,
    preferredChain: row.preferredChain,
    email: row.email,
    termsAgreed: row.termsAgreedAt !== null,
    eab,
    version,
    now,
    ...(observer === undefined ? {} : { observe: observer.forIssuer(isStaging ? `${row.name} (staging)` : row.name) }),
    async loadAccount() {
      const account = await ensureAccountRow(db, vault, id, isStaging)
      const keyPem = vault.unseal(account.keySealed, issuerSecret.accountKey(account.id)).toString()
      return { id: account.id, keyPem, url: account.url, isChanging: account.nextKeySealed !== null }
    },
    saveAccountUrl: (accountId, url) => saveAccountUrl(db, accountId, url),
  })
}
