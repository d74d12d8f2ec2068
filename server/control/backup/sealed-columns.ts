/**
 * Every column whose values a vault seals, with the context that binds each to its row, as SQL. A new one belongs
 * here, and its table gets a trigger `vault_guard` (a test compares this list with the catalog of the database).
 */
export type SealedColumn = {
  readonly table: string
  readonly key: readonly string[]
  readonly column: string
  /** The context that its writer seals under. */
  readonly context: string
  /** Text in JSON instead of bytes. */
  readonly isBase64?: boolean
}

/** All of them. */
export const sealedColumns: readonly SealedColumn[] = [
  { table: 'certificate_version', key: ['id'], column: 'key_sealed', context: "'certificate-key:' || fingerprint" },
  { table: 'order', key: ['id'], column: 'key_sealed', context: "'order-key:' || id" },
  { table: 'challenge', key: ['id'], column: 'key_sealed', context: "'challenge-key:' || name" },
  { table: 'acme_account', key: ['id'], column: 'key_sealed', context: "'acme-account-key:' || id" },
  { table: 'acme_account', key: ['id'], column: 'next_key_sealed', context: "'acme-account-key:' || id" },
  { table: 'certificate_request', key: ['id'], column: 'key_sealed', context: "'request-key:' || id" },
  { table: 'dns_provider', key: ['id'], column: 'secret_sealed', context: "'dns-provider-secret:' || id" },
  { table: 'mail_secret', key: ['id'], column: 'password_sealed', context: "'mail-password'" },
  { table: 'issuer', key: ['id'], column: 'eab_key_sealed', context: "'issuer-eab-key:' || id" },
  { table: 'issuer', key: ['id'], column: 'root_key_sealed', context: "'issuer-root-key:' || id" },
  {
    table: 'vault_retired',
    key: ['key_id', 'label'],
    column: 'secret_sealed',
    context: "'vault-retired:' || key_id || ':' || label",
  },
  {
    table: 'idempotency_key',
    key: ['actor_id', 'key'],
    column: 'body',
    context: "'idempotency:' || actor_id || ':' || key",
    isBase64: true,
  },
]
