-- Mail, notices about certificates, and what an outside-in probe saw.

CREATE TYPE "ProbeState" AS ENUM ('waiting', 'ok', 'suspect', 'failed', 'skipped');

CREATE TABLE "mail_secret" (
    "id" INTEGER NOT NULL DEFAULT 1,
    "password_sealed" BYTEA NOT NULL,
    "updated_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "mail_secret_pkey" PRIMARY KEY ("id")
);

CREATE TABLE "mail_message" (
    "id" UUID NOT NULL,
    "tenant_id" UUID,
    "recipient" TEXT NOT NULL,
    "subject" TEXT NOT NULL,
    "text" TEXT NOT NULL,
    "html" TEXT NOT NULL,
    "due_at" TIMESTAMPTZ(3) DEFAULT CURRENT_TIMESTAMP,
    "attempts" INTEGER NOT NULL DEFAULT 0,
    "lease_expires_at" TIMESTAMPTZ(3),
    "last_error" TEXT,
    "sent_at" TIMESTAMPTZ(3),
    "given_up_at" TIMESTAMPTZ(3),
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "mail_message_pkey" PRIMARY KEY ("id")
);

CREATE TABLE "certificate_watch" (
    "certificate_id" UUID NOT NULL,
    "due_at" TIMESTAMPTZ(3),
    "trouble_since" TIMESTAMPTZ(3),
    "noticed" TEXT[],

    CONSTRAINT "certificate_watch_pkey" PRIMARY KEY ("certificate_id")
);

CREATE TABLE "platform_watch" (
    "key" TEXT NOT NULL,
    "since" TIMESTAMPTZ(3) NOT NULL,
    "noticed_at" TIMESTAMPTZ(3),

    CONSTRAINT "platform_watch_pkey" PRIMARY KEY ("key")
);

CREATE TABLE "notice" (
    "id" UUID NOT NULL,
    "tenant_id" UUID,
    "certificate_id" UUID,
    "subject" TEXT NOT NULL,
    "kind" TEXT NOT NULL,
    "reason" TEXT,
    "not_after" TIMESTAMPTZ(3),
    "created_at" TIMESTAMPTZ(3) NOT NULL,
    "told_at" TIMESTAMPTZ(3),

    CONSTRAINT "notice_pkey" PRIMARY KEY ("id")
);

CREATE TABLE "probe_result" (
    "hostname_id" UUID NOT NULL,
    "state" "ProbeState" NOT NULL DEFAULT 'waiting',
    "due_at" TIMESTAMPTZ(3),
    "at" TIMESTAMPTZ(3),
    "failures" INTEGER NOT NULL DEFAULT 0,
    "served_fingerprint" TEXT,
    "detail" TEXT,

    CONSTRAINT "probe_result_pkey" PRIMARY KEY ("hostname_id")
);


CREATE INDEX "mail_message_due_at_idx" ON "mail_message"("due_at");
CREATE INDEX "mail_message_tenant_id_idx" ON "mail_message"("tenant_id");
CREATE INDEX "certificate_watch_due_at_idx" ON "certificate_watch"("due_at");
CREATE INDEX "notice_certificate_id_idx" ON "notice"("certificate_id");
CREATE INDEX "probe_result_due_at_idx" ON "probe_result"("due_at");
ALTER TABLE "mail_message" ADD CONSTRAINT "mail_message_tenant_id_fkey" FOREIGN KEY ("tenant_id") REFERENCES "tenant"("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "certificate_watch" ADD CONSTRAINT "certificate_watch_certificate_id_fkey" FOREIGN KEY ("certificate_id") REFERENCES "certificate"("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "notice" ADD CONSTRAINT "notice_tenant_id_fkey" FOREIGN KEY ("tenant_id") REFERENCES "tenant"("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "notice" ADD CONSTRAINT "notice_certificate_id_fkey" FOREIGN KEY ("certificate_id") REFERENCES "certificate"("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "probe_result" ADD CONSTRAINT "probe_result_hostname_id_fkey" FOREIGN KEY ("hostname_id") REFERENCES "hostname"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- Notices that nobody was told of yet: few, whatever was told before.
create index notice_untold on notice (tenant_id, created_at) where told_at is null;

-- A certificate is looked at for notices after each change of its state, its problem or what it serves. The
-- time is in the past by any clock: "at once".
create function watch_certificate(of_certificate uuid) returns void language sql as $$
  insert into certificate_watch (certificate_id, due_at, noticed) values (of_certificate, to_timestamp(0), '{}')
    on conflict (certificate_id) do update set due_at = to_timestamp(0);
$$;

create function watch_on_certificate() returns trigger language plpgsql as $$
begin
  if new.source = 'uploaded' or new.problem is not null
     or new.state in ('failing', 'paused', 'expired', 'revoked', 'retired') then
    perform watch_certificate(new.id);
  else
    -- One that was never in trouble has no row, and none is made.
    update certificate_watch set due_at = to_timestamp(0) where certificate_id = new.id;
  end if;
  return null;
end $$;
create trigger watch_certificate_made after insert on certificate for each row execute function watch_on_certificate();
create trigger watch_certificate_changed after update on certificate for each row
  when ((old.state, old.problem ->> 'code', old.active_version_id, old.source)
    is distinct from (new.state, new.problem ->> 'code', new.active_version_id, new.source))
  execute function watch_on_certificate();

-- Names are looked at from outside within a minute after a certificate was activated for them, and spread, so
-- that a thousand that were issued together are not asked for together.
create function probe_hostname(of_hostname uuid) returns void language sql as $$
  insert into probe_result (hostname_id, due_at) values (of_hostname, now() + (20 + random() * 30) * interval '1 second')
    on conflict (hostname_id) do update set due_at = excluded.due_at;
$$;

create function probe_on_hostname() returns trigger language plpgsql as $$
begin
  perform probe_hostname(new.id);
  return null;
end $$;
create trigger probe_hostname_made after insert on hostname for each row
  when (new.certificate_id is not null) execute function probe_on_hostname();
create trigger probe_hostname_changed after update on hostname for each row
  when (new.certificate_id is not null
    and (old.certificate_id, old.ownership_state) is distinct from (new.certificate_id, new.ownership_state))
  execute function probe_on_hostname();

create function probe_on_certificate() returns trigger language plpgsql as $$
begin
  perform probe_hostname(id) from hostname where certificate_id = new.id;
  return null;
end $$;
create trigger probe_certificate_changed after update on certificate for each row
  when (new.active_version_id is not null and old.active_version_id is distinct from new.active_version_id)
  execute function probe_on_certificate();

-- What is there already: uploaded certificates and those in trouble; every served name once within a day.
insert into certificate_watch (certificate_id, due_at, noticed)
  select id, now(), '{}' from certificate
   where source = 'uploaded' or problem is not null or state in ('failing', 'paused', 'expired');
insert into probe_result (hostname_id, due_at)
  select id, now() + random() * interval '1 day' from hostname where certificate_id is not null;
