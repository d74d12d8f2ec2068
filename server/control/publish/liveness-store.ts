import { ANY_KEY } from '../../contract/link.ts'
import type { Payloads } from '../../contract/records.ts'
import type { Db } from '../db.ts'
import type { RecordKey } from './compile.ts'

/**
 * Which of `keys` not every live edge serves in their newest form, as `<kind> <key>`: all of them when
 * no edge is live. One statement, so that marks, records and acks are seen as of one moment.
 */
export async function unackedKeys(db: Db, keys: readonly RecordKey[]): Promise<Set<string>> {
  if (keys.length === 0) return new Set()
  const rows = await db.$queryRaw<{ kind: string; key: string }[]>`
    with wanted as (
        select distinct kind, key from jsonb_to_recordset(${JSON.stringify(keys)}::jsonb) as w(kind text, key text)),
      live as (
        select e.id, case when e.feed_id = i.feed_id then e.revision else 0 end as revision
          from edge e cross join installation i where e.lease_expires_at > now())
    select w.kind, w.key from wanted w left join feed_record r using (kind, key)
      where r.revision is null or not exists (select from live)
        or (w.kind, w.key) in (select kind, key from feed_change)
        or exists (select from live l where l.revision < r.revision)
        or exists (select from live l join edge_exception x on x.edge_id = l.id
            where x.kind = w.kind and x.key in (w.key, ${ANY_KEY}))`
  return new Set(rows.map(({ kind, key }) => `${kind} ${key}`))
}

/** The name records that are published now, by name. */
export async function readNameRecords(db: Db, names: string[]): Promise<Map<string, Payloads['name']>> {
  if (names.length === 0) return new Map()
  const rows = await db.feedRecord.findMany({
    where: { kind: 'name', key: { in: names } },
    select: { key: true, payload: true },
  })
  const records = new Map<string, Payloads['name']>()
  for (const { key, payload } of rows) if (payload !== null) records.set(key, payload as unknown as Payloads['name'])
  return records
}
