import { type Actor, actorName, requireAdmin } from '../../auth/access.ts'
import { type Db, hint, type Tx, write } from '../../db.ts'
import { AppError, notFound } from '../../errors.ts'
import { recordEvent } from '../../events/record.ts'
import type { WriteOptions } from '../../schema.ts'
import type { Vault } from '../../vault.ts'
import { findIssuer, issuerSecret, updateIssuer } from '../issuer-store.ts'
import { generateKeyPem } from '../keys.ts'
import type { OperationView } from '../schema.ts'
import { type AccountRow, lockCurrentAccount, saveNextKey } from './account-store.ts'
import { findRunningOf, insertOperation, type OperationRow } from './operation-store.ts'
import { viewOfOperation } from './view.ts'

/** Accounts at CAs, for administrators. */
export type AccountService = {
  /** Changes the account's key (RFC 8555 section 7.3.5). Asked again while it is under way, it is the same operation. */
  rollOver(actor: Actor, issuerId: string, options: WriteOptions): Promise<OperationView>
  /** Ends the account (RFC 8555 section 7.3.6) and disables the issuer, which would make another one at once. */
  deactivate(actor: Actor, issuerId: string, options: WriteOptions): Promise<OperationView>
}

/** Makes the service over one database. */
export function createAccountService({ db, vault }: { readonly db: Db; readonly vault: Vault }): AccountService {
  const begin = (
    actor: Actor,
    issuerId: string,
    options: WriteOptions,
    kind: 'rollover' | 'deactivate',
    prepare: (tx: Tx, account: AccountRow) => Promise<void>,
  ): Promise<OperationView> =>
    write(db, options, async (tx) => {
      const issuer = await findIssuer(tx, issuerId)
      if (issuer === null) throw notFound('issuer')
      const account = await lockCurrentAccount(tx, issuerId)
      if (account === null || account.url === null)
        throw new AppError('CONFLICT', 'There is no account at this issuer yet; one is made with the first order.')
      const running = await findRunningOf(tx, account.id)
      if (running !== null) return sameKind(running, kind)
      await prepare(tx, account)
      const operation = await insertOperation(tx, { kind, tenantId: null, issuerId, accountId: account.id })
      const action = kind === 'rollover' ? 'issuer.rollover-asked' : 'issuer.deactivation-asked'
      const event = { actor: actorName(actor), tenantId: null, action }
      await recordEvent(tx, { ...event, subjectId: issuerId, subjectName: issuer.name })
      await hint(tx, 'certificates')
      return viewOfOperation(operation)
    })
  return {
    async rollOver(actor, issuerId, options) {
      requireAdmin(actor)
      return begin(actor, issuerId, options, 'rollover', async (tx, { id }) =>
        saveNextKey(tx, id, vault.seal(await generateKeyPem(), issuerSecret.accountKey(id))),
      )
    },
    async deactivate(actor, issuerId, options) {
      requireAdmin(actor)
      return begin(actor, issuerId, options, 'deactivate', async (tx) => {
        await updateIssuer(tx, issuerId, { isEnabled: false })
      })
    },
  }
}

function sameKind(running: OperationRow, kind: 'rollover' | 'deactivate'): OperationView {
  if (running.kind === kind) return viewOfOperation(running)
  throw new AppError('CONFLICT', 'Another change of this account is under way; wait for it to end.')
}
