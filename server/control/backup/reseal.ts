import type pg from 'pg'
import { UnsealError } from '../../contract/sealing.ts'
import { faultPoint } from '../../process/fault-point.ts'
import { OperatorError } from '../../process/operator-error.ts'
import type { Vault } from '../vault.ts'
import { type SealedColumn, sealedColumns } from './sealed-columns.ts'
import { quoted } from './snapshot.ts'

/** Rows that one transaction seals anew. */
const BATCH = 500

/** A column of this name holds sealed bytes: one that is in no list would be lost with its key. */
const CONVENTION = '%\\_sealed'

/** Throws `OperatorError` when the database has a sealed column that this version cannot seal anew. */
export async function checkColumns(client: pg.Client): Promise<void> {
  const { rows } = await client.query<{ table: string; column: string }>(
    `select table_name as table, column_name as column from information_schema.columns
      where table_schema = current_schema() and data_type = 'bytea' and column_name like $1`,
    [CONVENTION],
  )
  const known = new Set(sealedColumns.map(({ table, column }) => `${table}.${column}`))
  const unknown = rows.map(({ table, column }) => `${table}.${column}`).filter((name) => !known.has(name))
  if (unknown.length > 0)
    throw new OperatorError(
      `this version does not know how to seal ${unknown.join(', ')}: upgrade, then change the key`,
    )
}

/** Seals what is not of the current key `keyId` anew, a batch at a time. Returns how many values. Throws `OperatorError`. */
export async function resealAll(client: pg.Client, vault: Vault, keyId: number): Promise<number> {
  let sealed = 0
  for (const column of sealedColumns) {
    let after: readonly unknown[] | null = null
    for (;;) {
      const batch = await resealBatch(client, vault, keyId, column, after)
      sealed += batch.sealed
      faultPoint('rekey.batch')
      if (batch.last === null) break
      after = batch.last
    }
  }
  return sealed
}

/** How many values are sealed under another key than `keyId`. */
export async function countOthers(client: pg.Client, keyId: number): Promise<number> {
  let others = 0
  for (const column of sealedColumns) {
    const value = sealedValue(column)
    const { rows } = await client.query<{ count: string }>(
      `select count(*) from ${quoted(column.table)} where vault_key_of(${value}) <> $1`,
      [keyId],
    )
    others += Number(rows[0]?.count)
  }
  return others
}

type Row = { readonly value: Buffer; readonly context: string; readonly key: unknown[] }

/** One transaction: the rows after a key in the order of keys. A row that is written meanwhile waits for it, or it for the row. */
async function resealBatch(
  client: pg.Client,
  vault: Vault,
  keyId: number,
  column: SealedColumn,
  after: readonly unknown[] | null,
): Promise<{ sealed: number; last: readonly unknown[] | null }> {
  const table = quoted(column.table)
  const key = column.key.map(quoted).join(', ')
  const places = (from: number): string => column.key.map((_, index) => `$${from + index}`).join(', ')
  const next = after === null ? '' : `and (${key}) > (${places(2)})`
  await client.query('begin')
  try {
    const { rows } = await client.query<Row>(
      `select ${sealedValue(column)} as value, ${column.context} as context, array[${column.key.map((name) => `${quoted(name)}::text`).join(', ')}] as key
        from ${table} where vault_key_of(${sealedValue(column)}) <> $1 ${next} order by ${key} limit ${BATCH} for update`,
      [keyId, ...(after ?? [])],
    )
    for (const { value, context, key: id } of rows) {
      const plain = opened(vault, value, context, column, id)
      const sealed = Buffer.from(vault.seal(plain, context))
      plain.fill(0)
      const stored = column.isBase64 === true ? JSON.stringify(sealed.toString('base64')) : sealed
      await client.query(`update ${table} set ${quoted(column.column)} = $1 where (${key}) = (${places(2)})`, [
        stored,
        ...id,
      ])
    }
    await client.query('commit')
    return { sealed: rows.length, last: rows.length < BATCH ? null : (rows.at(-1)?.key ?? null) }
  } catch (error) {
    await client.query('rollback').catch(() => undefined)
    throw error
  }
}

function opened(vault: Vault, value: Buffer, context: string, { table, column }: SealedColumn, id: unknown[]): Buffer {
  try {
    return vault.unseal(value, context)
  } catch (cause) {
    if (!(cause instanceof UnsealError)) throw cause
    throw new OperatorError(
      `${table} ${id.join(' ')}: ${column} does not open (it is damaged): delete or replace that row, then run "nameplate rekey" again; the old key is still needed`,
      { cause },
    )
  }
}

function sealedValue({ column, isBase64 }: SealedColumn): string {
  // What is no text in JSON yet is an answer that is still awaited.
  return isBase64 === true
    ? `case when jsonb_typeof(${quoted(column)}) = 'string' then decode(${quoted(column)} #>> '{}', 'base64') end`
    : quoted(column)
}
