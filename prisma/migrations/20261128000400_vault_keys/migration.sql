-- The keys under which secrets are sealed (docs/adr/0020). The master key wraps them and is not here.
CREATE TYPE "VaultKeyState" AS ENUM ('coming', 'current', 'leaving', 'gone');

CREATE TABLE "vault_key" (
    "id" INTEGER NOT NULL,
    "state" "VaultKeyState" NOT NULL,
    "wrapped" BYTEA,
    "wrapped_next" BYTEA,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "vault_key_pkey" PRIMARY KEY ("id")
);

CREATE TABLE "vault_retired" (
    "key_id" INTEGER NOT NULL,
    "label" TEXT NOT NULL,
    "secret_sealed" BYTEA NOT NULL,
    "expires_at" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "vault_retired_pkey" PRIMARY KEY ("key_id", "label")
);

ALTER TABLE "installation" ADD COLUMN "next_master_key_check" BYTEA,
    ADD COLUMN "keyring_version" INTEGER NOT NULL DEFAULT 0;

alter table vault_key
  add constraint vault_key_id check (id >= 1),
  add constraint vault_key_gone check ((state = 'gone') = (wrapped is null)),
  add constraint vault_key_next check (state <> 'gone' or wrapped_next is null);
create unique index vault_key_current on vault_key (state) where state = 'current';

-- The key that a value is sealed under: byte 3 and the number of the key; what is older has no number and is of key 1.
create function vault_key_of(sealed bytea) returns integer language sql immutable strict as $$
  select case
    when length(sealed) > 5 and get_byte(sealed, 0) = 3 and get_byte(sealed, 1) < 128 then
      (get_byte(sealed, 1) << 24) | (get_byte(sealed, 2) << 16) | (get_byte(sealed, 3) << 8) | get_byte(sealed, 4)
    when length(sealed) > 0 and get_byte(sealed, 0) = 1 then 1
  end
$$;

-- Nothing is written under a key that is gone, whatever a process still has in its memory: it would never open again.
-- The shared lock makes the end of a key wait for the writers that came before it, and those after it fail.
-- Arguments: the column, and 'base64' for text in JSON.
create function vault_guard() returns trigger language plpgsql as $$
declare
  value jsonb := to_jsonb(new) -> tg_argv[0];
  key_id integer;
  key_state "VaultKeyState";
begin
  if jsonb_typeof(value) is distinct from 'string' then return new; end if;
  if tg_nargs > 1 then key_id := vault_key_of(decode(value #>> '{}', tg_argv[1]));
  else key_id := vault_key_of((value #>> '{}')::bytea); end if;
  select state into key_state from vault_key where id = key_id for share;
  if key_state = 'gone' then
    raise exception 'sealed under key %, which is gone', key_id using errcode = '40001';
  end if;
  return new;
end $$;

create trigger vault_guard before insert or update of key_sealed on certificate_version
  for each row execute function vault_guard('key_sealed');
create trigger vault_guard before insert or update of key_sealed on "order"
  for each row execute function vault_guard('key_sealed');
create trigger vault_guard before insert or update of key_sealed on challenge
  for each row execute function vault_guard('key_sealed');
create trigger vault_guard before insert or update of key_sealed on acme_account
  for each row execute function vault_guard('key_sealed');
create trigger vault_guard_eab before insert or update of eab_key_sealed on issuer
  for each row execute function vault_guard('eab_key_sealed');
create trigger vault_guard_root before insert or update of root_key_sealed on issuer
  for each row execute function vault_guard('root_key_sealed');
create trigger vault_guard before insert or update of secret_sealed on vault_retired
  for each row execute function vault_guard('secret_sealed');
create trigger vault_guard before insert or update of body on idempotency_key
  for each row execute function vault_guard('body', 'base64');

-- A key that is sealed anew is the same key: nothing is published for it.
drop trigger feed_version_changed on certificate_version;
create trigger feed_version_changed after update on certificate_version for each row
  when ((old.certificate_id, old.fingerprint, old.names, old.chain_pem, old.not_before, old.not_after, old.revoked_at)
    is distinct from (new.certificate_id, new.fingerprint, new.names, new.chain_pem, new.not_before, new.not_after, new.revoked_at))
  execute function feed_on_version();
create trigger feed_version_deleted after delete on certificate_version
  for each row execute function feed_on_version();
