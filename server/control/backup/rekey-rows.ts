import { randomBytes } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import type pg from 'pg'
import { OperatorError } from '../../process/operator-error.ts'
import {
  KEYRING_CHANNEL,
  KEYRING_LOCK,
  type KeyringRows,
  masterKeyCheckOf,
  openKeyring,
  readKeyring,
  retiredContext,
  wrapKey,
} from '../keyring.ts'
import { vaultOf } from '../vault.ts'

/** The steps of a change of the master key, each one transaction. What each leaves is a state to go on from. */

const KEY_BYTES = 32
const DAY_SECONDS = 86_400
/** How long what was made with a key that is gone is accepted: as long as a session lives unused, and a key of idempotency. */
const retiredLabels = { refresh: 14 * DAY_SECONDS, idempotency: DAY_SECONDS } as const
/** Longest wait for control planes that do not take a change, and for edges. */
const CONTROL_PLANES_MS = 120_000
const EDGES_MS = 15_000
const POLL_MS = 100

/** Reads the ring of a database that was started. Throws `OperatorError`. */
export async function ringOf(client: pg.Client): Promise<KeyringRows> {
  const rows = await readKeyring(client)
  if (rows === null || rows.keys.length === 0)
    throw new OperatorError(
      'this installation was not started yet with this version: start Nameplate once, then change the key',
    )
  return rows
}

/** Adds a key that is coming, and wraps all keys under the new master key too. */
export async function introduce(client: pg.Client, oldKey: Buffer, newKey: Buffer): Promise<void> {
  await inTransaction(client, async (rows) => {
    if (rows.nextMasterKeyCheck !== null) return
    const id = Math.max(...rows.keys.map((key) => key.id)) + 1
    await client.query("insert into vault_key (id, state, wrapped) values ($1, 'coming', $2)", [
      id,
      wrapKey(oldKey, id, randomBytes(KEY_BYTES)),
    ])
    await wrapNext(client, oldKey, newKey)
  })
}

/** Wraps all keys under another new master key than the one that the change was begun with. */
export async function startOver(client: pg.Client, oldKey: Buffer, newKey: Buffer): Promise<void> {
  await inTransaction(client, () => wrapNext(client, oldKey, newKey))
}

async function wrapNext(client: pg.Client, oldKey: Buffer, newKey: Buffer): Promise<void> {
  for (const [id, key] of openKeyring(await ringOf(client), [oldKey]).keys)
    await client.query('update vault_key set wrapped_next = $2 where id = $1', [id, wrapKey(newKey, id, key)])
  await client.query('update installation set next_master_key_check = $1 where id = 1', [masterKeyCheckOf(newKey)])
}

/** From here on everything is sealed under the key that was coming. Ticket secrets are published anew. */
export async function switchOver(client: pg.Client): Promise<void> {
  await inTransaction(client, async (rows) => {
    const coming = rows.keys.find(({ state }) => state === 'coming')
    if (coming === undefined) return
    await client.query("update vault_key set state = 'leaving' where state = 'current'")
    await client.query("update vault_key set state = 'current' where id = $1", [coming.id])
    await client.query("select feed_mark('ticket-key', key) from unnest(array['current', 'previous']) as key")
  })
}

/**
 * Ends the keys that leave and makes the new master key the only one. `countOthers` counts what is still sealed
 * under them: the rows of the keys are locked by then, so that nothing more can come. Returns whether it was done.
 */
export function finish(
  client: pg.Client,
  newKey: Buffer,
  countOthers: (keyId: number) => Promise<number>,
): Promise<boolean> {
  return inTransaction(client, async (rows) => {
    const keyring = openKeyring(rows, [newKey])
    const vault = vaultOf(() => keyring)
    const leaving = rows.keys.filter(({ state }) => state === 'leaving')
    for (const { id } of leaving) {
      for (const [label, seconds] of Object.entries(retiredLabels)) {
        const secret = vault.seal(vault.derive(label, id), retiredContext(id, label))
        await client.query(
          `insert into vault_retired (key_id, label, secret_sealed, expires_at)
            values ($1, $2, $3, now() + make_interval(secs => $4)) on conflict do nothing`,
          [id, label, secret, seconds],
        )
      }
      await client.query("update vault_key set state = 'gone', wrapped = null, wrapped_next = null where id = $1", [id])
    }
    if ((await countOthers(keyring.current)) > 0) return false
    await client.query(
      'update vault_key set wrapped = wrapped_next, wrapped_next = null where wrapped_next is not null',
    )
    await client.query('update installation set master_key_check = $1, next_master_key_check = null where id = 1', [
      masterKeyCheckOf(newKey),
    ])
    await client.query('delete from vault_retired where expires_at < now()')
    return true
  })
}

/** Runs `work` on the ring with its rows locked; a new version of it is announced, unless `work` gives false. */
async function inTransaction<T>(client: pg.Client, work: (rows: KeyringRows) => Promise<T>): Promise<T> {
  await client.query('begin')
  try {
    await client.query('select from installation where id = 1 for no key update')
    const result = await work(await ringOf(client))
    if (result === false) {
      await client.query('rollback')
      return result
    }
    await client.query('update installation set keyring_version = keyring_version + 1 where id = 1')
    await client.query(`select pg_notify('${KEYRING_CHANNEL}', '')`)
    await client.query('commit')
    return result
  } catch (error) {
    await client.query('rollback').catch(() => undefined)
    throw error
  }
}

/**
 * Waits until no control plane works with an older ring than the present one: each holds the shared lock of the
 * version that it has. Throws `OperatorError` that names who does not follow; what was done so far stands.
 */
export async function untilLearnt(client: pg.Client): Promise<void> {
  const { version } = await ringOf(client)
  const deadline = performance.now() + CONTROL_PLANES_MS
  for (;;) {
    const { rows } = await client.query<{ who: string }>(
      `select coalesce(host(a.client_addr), 'this machine') || ' (connection ' || l.pid || ')' as who
        from pg_locks l left join pg_stat_activity a on a.pid = l.pid
        where l.locktype = 'advisory' and l.classid = $1 and l.objid < $2 and l.granted
          and l.database = (select oid from pg_database where datname = current_database())`,
      [KEYRING_LOCK, version],
    )
    if (rows.length === 0) return
    if (performance.now() > deadline)
      throw new OperatorError(
        `a control plane does not take the new keys: ${rows.map(({ who }) => who).join(', ')}. Is the present master key at its NAMEPLATE_MASTER_KEY_FILE? Restart or stop it, then run "nameplate rekey" again; nothing is lost`,
      )
    await pause(POLL_MS)
  }
}

/** Waits a while until every live edge has the ticket secrets of the key; one that does not loses no more than sessions. */
export async function untilEdgesHave(client: pg.Client, keyId: number): Promise<boolean> {
  const deadline = performance.now() + EDGES_MS
  while (performance.now() < deadline) {
    const { rows } = await client.query<{ isDone: boolean }>(
      `select not exists (select from feed_record where kind = 'ticket-key' and payload is not null
            and (payload ->> 'keyId')::int is distinct from $1)
          and not exists (select from edge where lease_expires_at > now()
            and revision < (select coalesce(max(revision), 0) from feed_record where kind = 'ticket-key')) as "isDone"`,
      [keyId],
    )
    if (rows[0]?.isDone === true) return true
    await pause(POLL_MS)
  }
  return false
}
