import { randomUUIDv7 } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type pg from 'pg'
import type { Vault } from '../server/control/vault.ts'
import { firstCertificate } from './big-edge.ts'
import { siteId } from './edge.ts'
import type { Forged } from './forge.ts'
import { siteName } from './scene.ts'

/** Sites in one transaction: what is changed together is published together. */
const BATCH = 500
const TENANT_ID = '00000000-0000-7000-9000-000000000001'
const DOMAIN_ID = '00000000-0000-7000-9000-000000000002'

/** The id of the certificate of the site with a number. */
function certificateId(number: number): string {
  return `00000000-0000-7000-a000-${String(number).padStart(12, '0')}`
}

function versionRow(vault: Vault, number: number, forged: Forged) {
  const { fingerprint, serial, names, chainPem, privateKeyPem, notAfter } = forged
  const keySealed = Buffer.from(vault.seal(privateKeyPem, `certificate-key:${fingerprint}`)).toString('base64')
  return {
    id: randomUUIDv7(),
    certificate: certificateId(number),
    fingerprint,
    serial,
    names,
    chain: chainPem,
    key: keySealed,
    until: notAfter,
  }
}

const INSERT_VERSIONS = `insert into certificate_version
    (id, certificate_id, fingerprint, serial, names, key_algorithm, chain_pem, key_sealed, not_before, not_after)
  select v.id, v.certificate, v.fingerprint, v.serial, v.names, 'ecdsa-p256', v.chain, decode(v.key, 'base64'),
      now() - interval '1 day', v.until
    from jsonb_to_recordset($1::jsonb) as v(id uuid, certificate uuid, fingerprint text, serial text, names text[],
      chain text, key text, until timestamptz)`
const ACTIVATE_VERSIONS = `update certificate c set active_version_id = v.id, state = 'valid', updated_at = now()
  from jsonb_to_recordset($1::jsonb) as v(id uuid, certificate uuid) where c.id = v.certificate`

/**
 * Writes sites, names and certificates as rows, as if they had been made and issued long ago: redirect sites, so
 * that no content has to travel. Triggers mark all of it for the feed.
 */
export async function writeRows(pool: pg.Pool, vault: Vault, sites: number): Promise<void> {
  await pool.query(`insert into tenant (id, name) values ($1, 'bench')`, [TENANT_ID])
  await pool.query(
    `insert into domain (id, tenant_id, name, token, state) values ($1, $2, 'bench.test', 'bench', 'verified')`,
    [DOMAIN_ID, TENANT_ID],
  )
  for (let first = 0; first < sites; first += BATCH) {
    const numbers = Array.from({ length: Math.min(BATCH, sites - first) }, (_, index) => first + index)
    await inTransaction(pool, (client) => writeBatch(client, vault, numbers))
  }
  // As autovacuum has long done where the rows came one by one.
  await pool.query('analyze')
}

async function writeBatch(client: pg.PoolClient, vault: Vault, numbers: readonly number[]): Promise<void> {
  const rows = numbers.map((number) => ({
    site: siteId(number),
    certificate: certificateId(number),
    name: siteName(number),
    hostname: randomUUIDv7(),
  }))
  const versions = numbers.map((number) => versionRow(vault, number, firstCertificate(number)))
  const from = `from jsonb_to_recordset($1::jsonb) as r(site uuid, certificate uuid, name text, hostname uuid)`
  const json = JSON.stringify(rows)
  await client.query(
    `insert into site (id, tenant_id, name, kind, redirect_to)
      select r.site, '${TENANT_ID}', r.name, 'redirect', 'https://example.test/' ${from}`,
    [json],
  )
  await client.query(
    `insert into certificate (id, tenant_id, source, names, due_at)
      select r.certificate, '${TENANT_ID}', 'uploaded', array[r.name], null ${from}`,
    [json],
  )
  await client.query(INSERT_VERSIONS, [JSON.stringify(versions)])
  await client.query(ACTIVATE_VERSIONS, [JSON.stringify(versions)])
  await client.query(
    `insert into hostname (id, tenant_id, domain_id, site_id, name, ownership_state, verified_at, check_due_at, certificate_id)
      select r.hostname, '${TENANT_ID}', '${DOMAIN_ID}', r.site, r.name, 'verified', now(), null, r.certificate ${from}`,
    [json],
  )
}

/** Resolves with the moment before the commit. */
async function inTransaction(pool: pg.Pool, work: (client: pg.PoolClient) => Promise<void>): Promise<number> {
  const client = await pool.connect()
  try {
    await client.query('begin')
    await work(client)
    const before = performance.now()
    await client.query('commit')
    client.release()
    return before
  } catch (error) {
    client.release(true)
    throw error
  }
}

/** Gives a site's certificate a new version in one transaction; resolves with the moment before its commit. */
export function renewRow(pool: pg.Pool, vault: Vault, number: number, forged: Forged): Promise<number> {
  const version = JSON.stringify([versionRow(vault, number, forged)])
  return inTransaction(pool, async (client) => {
    await client.query(INSERT_VERSIONS, [version])
    await client.query(ACTIVATE_VERSIONS, [version])
  })
}

/** Waits until everything that is committed has a revision and the one edge holds it. Tells how far it is. */
export async function untilPublished(pool: pg.Pool, tell: (text: string) => void, limitMs: number): Promise<void> {
  const limit = performance.now() + limitMs
  for (let turn = 0; ; turn += 1) {
    const { rows } = await pool.query<{ marks: string; head: string; held: string }>(
      `select (select count(*) from feed_change) as marks, (select revision from installation) as head,
        (select coalesce(min(revision), -1) from edge) as held`,
    )
    const { marks = '', head = '', held = '' } = rows[0] ?? {}
    if (marks === '0' && head === held) return
    if (performance.now() > limit) throw new Error(`not published in time: ${marks} marks, edge at ${held} of ${head}`)
    if (turn % 40 === 0) tell(`${marks} marks are left, the edge is at ${held} of ${head}`)
    await sleep(250)
  }
}
