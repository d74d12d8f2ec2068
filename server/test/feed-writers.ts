import { randomBytes, randomUUID } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import pg from 'pg'
import { rigVault, type Seed } from './publish-rig.ts'

/** What the writers did. */
export type Written = { committed: number; rolledBack: number; refused: number }

/** Repeatable random numbers (mulberry32), so that a run can be told apart by its seed. */
export function seededRandom(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }
}

type Writer = { readonly client: pg.Client; readonly seed: Seed; readonly random: () => number }

/** Names of one domain that a writer changes; few, so that they are written, deleted and written again. */
const NAMES = 40

/**
 * Makes `changes` changes of everything that is served, in transactions of one to four, a tenth rolled
 * back and some held open for a while. Conflicts between writers are part of it and are counted.
 */
export async function writeChanges(url: string, seed: Seed, changes: number, randomSeed: number): Promise<Written> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  const writer = { client, seed, random: seededRandom(randomSeed) }
  const written: Written = { committed: 0, rolledBack: 0, refused: 0 }
  try {
    while (written.committed + written.rolledBack < changes) await writeTransaction(writer, written)
  } finally {
    await client.end()
  }
  return written
}

async function writeTransaction(writer: Writer, written: Written): Promise<void> {
  const { client, random } = writer
  const size = 1 + Math.floor(random() * 4)
  await client.query('begin')
  try {
    for (let index = 0; index < size; index++) await pick(random, operations)(writer)
    if (random() < 0.02) await pause(random() * 100)
    const isKept = random() > 0.1
    await client.query(isKept ? 'commit' : 'rollback')
    written[isKept ? 'committed' : 'rolledBack'] += size
  } catch (error) {
    if (!(error instanceof pg.DatabaseError)) throw error
    await client.query('rollback')
    written.refused++
  }
}

function pick<T>(random: () => number, items: readonly T[]): T {
  return items[Math.floor(random() * items.length)] as T
}

const nameOf = ({ seed, random }: Writer): string => {
  const number = Math.floor(random() * NAMES)
  return number === 0 ? `*.${seed.domain}` : `n${number}.${seed.domain}`
}
const randomSite = 'select id from site where tenant_id = $1 order by random() limit 1'

type Operation = (writer: Writer) => Promise<unknown>

const writeHostname: Operation = ({ client, seed, random }) =>
  client.query(
    `insert into hostname (id, tenant_id, domain_id, site_id, name, ownership_state, verified_at, updated_at)
      values ($2, $1, $3, (${randomSite}), $4, $5, now(), now())
      on conflict (tenant_id, name) do update
        set ownership_state = excluded.ownership_state, site_id = excluded.site_id`,
    [
      seed.tenantId,
      randomUUID(),
      seed.domainId,
      nameOf({ client, seed, random }),
      pick(random, ['verified', 'verified', 'pending', 'released', 'lapsed']),
    ],
  )

const deleteHostname: Operation = (writer) =>
  writer.client.query('delete from hostname where tenant_id = $1 and name = $2', [writer.seed.tenantId, nameOf(writer)])

const giveCertificate: Operation = async (writer) => {
  const { client, seed } = writer
  const name = nameOf(writer)
  const id = randomUUID()
  await client.query('insert into certificate (id, tenant_id, names, updated_at) values ($1, $2, array[$3], now())', [
    id,
    seed.tenantId,
    name,
  ])
  await addVersion(client, id, name)
  await client.query('update hostname set certificate_id = $1 where tenant_id = $2 and name = $3', [
    id,
    seed.tenantId,
    name,
  ])
}

const someCertificate = `select c.id, c.names[1] as name from certificate c join hostname h on h.certificate_id = c.id
  where c.tenant_id = $1 order by random() limit 1`

const renewCertificate: Operation = async ({ client, seed }) => {
  const { rows } = await client.query<{ id: string; name: string }>(someCertificate, [seed.tenantId])
  for (const { id, name } of rows) await addVersion(client, id, name)
}

const retireCertificate: Operation = async ({ client, seed, random }) => {
  const { rows } = await client.query<{ id: string }>(someCertificate, [seed.tenantId])
  const sql = pick(random, [
    "update certificate set state = 'retired' where id = $1",
    "update certificate set active_version_id = null, state = 'wanted' where id = $1",
    'update certificate_version set revoked_at = now() where certificate_id = $1',
  ])
  for (const { id } of rows) await client.query(sql, [id])
}

async function addVersion(client: pg.Client, certificateId: string, name: string): Promise<void> {
  const fingerprint = randomBytes(32).toString('hex')
  const id = randomUUID()
  await client.query(
    `insert into certificate_version (id, certificate_id, fingerprint, serial, names, key_algorithm, chain_pem,
        key_sealed, not_before, not_after)
      values ($1, $2, $3, 'x', array[$4], 'ecdsa-p256', $5, $6, now(), now() + interval '1 day')`,
    [
      id,
      certificateId,
      fingerprint,
      name,
      `chain ${fingerprint}`,
      Buffer.from(rigVault.seal(`key ${fingerprint}`, `certificate-key:${fingerprint}`)),
    ],
  )
  await client.query("update certificate set active_version_id = $1, state = 'valid' where id = $2", [
    id,
    certificateId,
  ])
}

const writeSite: Operation = ({ client, seed, random }) =>
  random() < 0.1
    ? client.query(
        `insert into site (id, tenant_id, name, kind, redirect_to, updated_at)
          values ($1, $2, $3, 'redirect', 'https://new.test/', now())`,
        [randomUUID(), seed.tenantId, randomUUID()],
      )
    : client.query(`update site set redirect_to = $2 where id = (${randomSite})`, [
        seed.tenantId,
        `https://${Math.floor(random() * 1e6)}.test/`,
      ])

const deleteSite: Operation = ({ client, seed }) =>
  client.query(
    `delete from site where id = (select s.id from site s where s.tenant_id = $1
        and not exists (select from hostname h where h.site_id = s.id)
        and not exists (select from address a where a.site_id = s.id) limit 1)`,
    [seed.tenantId],
  )

const suspend: Operation = ({ client, seed, random }) =>
  client.query('update tenant set state = $2 where id = $1', [seed.tenantId, pick(random, ['active', 'suspended'])])

const writeAddress: Operation = ({ client, seed, random }) => {
  const address = `10.0.0.${Math.floor(random() * 20)}`
  const state = pick(random, ['shared', 'free', 'allocated', 'deleted'])
  if (state === 'deleted') return client.query('delete from address where address = $1', [address])
  const use = state === 'shared' ? 'shared' : 'dedicated'
  const site = state === 'allocated' ? `(${randomSite})` : '(null::uuid)'
  return client.query(
    `insert into address (id, address, use, state, site_id, updated_at)
      select $2, $3, $4::text::"AddressUse", $5::text::"AddressState", ${site}, now() where $1::uuid is not null
      on conflict (address) do update set use = excluded.use, state = excluded.state, site_id = excluded.site_id`,
    [seed.tenantId, randomUUID(), address, use, state === 'allocated' ? 'allocated' : 'free'],
  )
}

const operations: readonly Operation[] = [
  writeHostname,
  writeHostname,
  writeHostname,
  deleteHostname,
  giveCertificate,
  giveCertificate,
  renewCertificate,
  retireCertificate,
  writeSite,
  writeSite,
  deleteSite,
  suspend,
  writeAddress,
]
