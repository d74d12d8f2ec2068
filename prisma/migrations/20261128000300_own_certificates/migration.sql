-- Uploaded certificates, requests, revocation, roll-back and changes of an account's key.

alter table certificate
  add column fallback_to_acme boolean not null default true,
  add column expiry_warnings integer not null default 0,
  add column leaving_at timestamptz(3),
  add column held_until timestamptz(3);
-- What a CA sold may hold more names than we ever order.
alter table certificate drop constraint certificate_names;
alter table certificate add constraint certificate_names
  check (cardinality(names) between 1 and case source when 'uploaded' then 250 else 100 end);

alter table certificate_version add column revocation_wanted_at timestamptz(3);
alter table acme_account add column next_key_sealed bytea;

alter table hostname add column next_certificate_id uuid;
alter table hostname add constraint "hostname_next_certificate_id_fkey"
  foreign key (next_certificate_id) references certificate (id) on delete set null on update cascade;
create index "hostname_next_certificate_id_idx" on hostname (next_certificate_id);

create table certificate_request (
  id uuid not null,
  tenant_id uuid not null,
  names text[],
  key_type text not null,
  subject jsonb not null default '{}',
  csr_pem text not null,
  key_sealed bytea not null,
  certificate_id uuid,
  created_at timestamptz(3) not null default current_timestamp,
  updated_at timestamptz(3) not null default current_timestamp,
  constraint "certificate_request_pkey" primary key (id),
  constraint "certificate_request_tenant_id_fkey" foreign key (tenant_id)
    references tenant (id) on delete cascade on update cascade
);
create index "certificate_request_tenant_id_idx" on certificate_request (tenant_id);

create table barred_key (
  spki_fingerprint text not null,
  certificate_id uuid,
  created_at timestamptz(3) not null default current_timestamp,
  constraint "barred_key_pkey" primary key (spki_fingerprint),
  constraint barred_key_fingerprint check (spki_fingerprint ~ '^[0-9a-f]{64}$')
);

create type "OperationKind" as enum ('revoke', 'rollback', 'rollover', 'deactivate');
create type "OperationState" as enum ('running', 'succeeded', 'failed');
create table operation (
  id uuid not null,
  kind "OperationKind" not null,
  state "OperationState" not null default 'running',
  tenant_id uuid,
  certificate_id uuid,
  version_id uuid,
  issuer_id uuid,
  account_id uuid,
  reason text,
  problem jsonb,
  failures integer not null default 0,
  due_at timestamptz(3),
  lease_expires_at timestamptz(3),
  lease_fence bigint not null default 0,
  created_at timestamptz(3) not null default current_timestamp,
  updated_at timestamptz(3) not null default current_timestamp,
  constraint "operation_pkey" primary key (id),
  constraint "operation_certificate_id_fkey" foreign key (certificate_id)
    references certificate (id) on delete set null on update cascade,
  constraint operation_due check (state = 'running' or due_at is null)
);
create index "operation_due_at_idx" on operation (due_at);
create index "operation_certificate_id_idx" on operation (certificate_id);
-- One version is revoked by one operation, one account is changed by one at a time.
create unique index operation_revokes on operation (version_id) where kind = 'revoke' and state <> 'failed';
create unique index operation_of_account on operation (account_id) where state = 'running';
