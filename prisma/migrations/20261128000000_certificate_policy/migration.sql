-- What the certificate manager decides by: renewal windows, issuers in order, limits, a fair queue.

alter table issuer
  add column preferred_chain text,
  add column staging_url text,
  add column limits jsonb,
  add column circuit jsonb,
  add column queue_clock bigint not null default 0;

alter table acme_account add column is_staging boolean not null default false;
drop index acme_account_current;
create unique index acme_account_current on acme_account (issuer_id, is_staging) where is_current;

alter table plan add column issuer_ids uuid[] default array[]::uuid[];
alter table tenant add column issuer_ids uuid[] default array[]::uuid[];

alter table certificate
  add column renew_at timestamptz(3),
  add column ari_start timestamptz(3),
  add column ari_end timestamptz(3),
  add column ari_selected_at timestamptz(3),
  add column ari_poll_at timestamptz(3),
  add column ari_url text,
  add column queue_issuer_id uuid,
  add column queue_class smallint,
  add column queue_turn bigint,
  add column queued_at timestamptz(3),
  add column shunned jsonb not null default '{}',
  add column is_rehearsing boolean not null default false,
  add column failed_challenge text,
  add column departed_at timestamptz(3),
  add constraint certificate_queue check (
    (queue_issuer_id is null) = (queue_class is null) and (queue_class is null) = (queue_turn is null)
    and (queue_turn is null) = (queued_at is null));
create index certificate_queue_issuer_id_queue_class_queue_turn_id_idx
  on certificate (queue_issuer_id, queue_class, queue_turn, id);
-- Those that wait for their turn, in their order (server/control/certificates/queue.ts).
create index certificate_waiting on certificate (queue_issuer_id, queue_class, queue_turn, id)
  where queued_at is not null and due_at is null;

alter table certificate_version add column account_id uuid;

alter table "order"
  add column replaces text,
  add column profile text,
  add column is_rehearsal boolean not null default false,
  add column looks integer not null default 0;

drop index challenge_order_id_name_type_key;
create unique index challenge_order_id_url_key on challenge (order_id, url);
create index challenge_name_idx on challenge (name);
alter table challenge
  add column certificate_pem text,
  add column key_sealed bytea;

create table rate_limit_bucket (
  issuer_id uuid not null references issuer (id) on delete cascade on update cascade,
  "limit" text not null,
  key text not null,
  tokens double precision not null,
  updated_at timestamptz(3) not null,
  blocked_until timestamptz(3),
  primary key (issuer_id, "limit", key)
);
create index rate_limit_bucket_updated_at_idx on rate_limit_bucket (updated_at);

create table queue_turn (
  issuer_id uuid not null references issuer (id) on delete cascade on update cascade,
  tenant_id uuid not null references tenant (id) on delete cascade on update cascade,
  turn bigint not null,
  primary key (issuer_id, tenant_id)
);

-- A tls-alpn-01 challenge is published under the name that it proves (RFC 8737), the others under their token.
-- What is proven in DNS is no record of an edge.
create function feed_mark_challenge(of_type text, of_token text, of_name text) returns void language sql as $$
  select feed_mark('challenge', of_type || ':' || case of_type when 'tls-alpn-01' then of_name else of_token end)
   where of_type in ('http-01', 'tls-alpn-01');
$$;

create or replace function feed_on_challenge() returns trigger language plpgsql as $$
begin
  perform feed_mark_challenge(coalesce(new.type, old.type), coalesce(new.token, old.token), coalesce(new.name, old.name));
  return null;
end $$;

create or replace function feed_on_order() returns trigger language plpgsql as $$
begin
  perform feed_mark_challenge(type, token, name) from challenge where order_id = new.id;
  return null;
end $$;
