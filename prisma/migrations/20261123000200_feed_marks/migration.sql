-- Each change of what is served marks the keys to publish anew, in its own transaction. The sequencer
-- (server/control/publish) takes the marks, compiles the records from the rows and gives them revisions.
-- Since triggers do it, no writer can forget it, and a change made with psql arrives at the edges too.

create function feed_mark(mark_kind text, mark_key text) returns void language sql as $$
  insert into feed_change (kind, key) values (mark_kind, mark_key);
  select pg_notify('nameplate', 'feed');
$$;

-- A dedicated address serves its site's certificate to clients without SNI: it follows the site's names.
create function feed_mark_site_addresses(of_site uuid) returns void language sql as $$
  select feed_mark('address', address) from address where site_id = of_site;
$$;

create function feed_on_site() returns trigger language plpgsql as $$
begin
  perform feed_mark('site', coalesce(new.id, old.id)::text);
  return null;
end $$;
create trigger feed_site_written after insert or delete on site for each row execute function feed_on_site();
create trigger feed_site_changed after update on site for each row
  when ((old.kind, old.state, old.active_release_id, old.upstreams, old.redirect_to, old.redirect_status, old.is_panel)
    is distinct from (new.kind, new.state, new.active_release_id, new.upstreams, new.redirect_to, new.redirect_status, new.is_panel))
  execute function feed_on_site();

create function feed_on_tenant() returns trigger language plpgsql as $$
begin
  perform feed_mark('site', id::text) from site where tenant_id = new.id;
  return null;
end $$;
create trigger feed_tenant_changed after update on tenant for each row
  when (old.state is distinct from new.state) execute function feed_on_tenant();

create function feed_on_hostname() returns trigger language plpgsql as $$
begin
  if tg_op <> 'INSERT' then
    perform feed_mark('name', old.name);
    perform feed_mark_site_addresses(old.site_id);
  end if;
  if tg_op <> 'DELETE' and (tg_op = 'INSERT' or (new.name, new.site_id) is distinct from (old.name, old.site_id)) then
    perform feed_mark('name', new.name);
    perform feed_mark_site_addresses(new.site_id);
  end if;
  return null;
end $$;
create trigger feed_hostname_written after insert or delete on hostname for each row execute function feed_on_hostname();
create trigger feed_hostname_changed after update on hostname for each row
  when ((old.name, old.site_id, old.ownership_state, old.certificate_id)
    is distinct from (new.name, new.site_id, new.ownership_state, new.certificate_id))
  execute function feed_on_hostname();

create function feed_mark_version(of_version uuid) returns void language sql as $$
  select feed_mark('certificate', fingerprint) from certificate_version where id = of_version;
$$;

create function feed_on_certificate() returns trigger language plpgsql as $$
begin
  perform feed_mark_version(old.active_version_id);
  if tg_op <> 'DELETE' then
    if new.active_version_id is distinct from old.active_version_id then
      perform feed_mark_version(new.active_version_id);
    end if;
  end if;
  perform feed_mark('name', h.name), feed_mark_site_addresses(h.site_id) from hostname h where h.certificate_id = old.id;
  return null;
end $$;
create trigger feed_certificate_deleted after delete on certificate for each row execute function feed_on_certificate();
create trigger feed_certificate_changed after update on certificate for each row
  when ((old.active_version_id, old.state in ('retired', 'revoked'))
    is distinct from (new.active_version_id, new.state in ('retired', 'revoked')))
  execute function feed_on_certificate();

create function feed_on_version() returns trigger language plpgsql as $$
begin
  perform feed_mark('certificate', old.fingerprint);
  return null;
end $$;
create trigger feed_version_changed after update or delete on certificate_version
  for each row execute function feed_on_version();

create function feed_on_address() returns trigger language plpgsql as $$
begin
  if tg_op <> 'INSERT' then perform feed_mark('address', old.address); end if;
  if tg_op <> 'DELETE' then
    if tg_op = 'INSERT' or new.address <> old.address then perform feed_mark('address', new.address); end if;
  end if;
  return null;
end $$;
create trigger feed_address_written after insert or delete on address for each row execute function feed_on_address();
create trigger feed_address_changed after update on address for each row
  when ((old.address, old.use, old.state, old.site_id, old.legacy_tls)
    is distinct from (new.address, new.use, new.state, new.site_id, new.legacy_tls))
  execute function feed_on_address();

create function feed_on_challenge() returns trigger language plpgsql as $$
begin
  perform feed_mark('challenge', coalesce(new.type, old.type) || ':' || coalesce(new.token, old.token));
  return null;
end $$;
create trigger feed_challenge_written after insert or delete on challenge for each row execute function feed_on_challenge();
create trigger feed_challenge_changed after update on challenge for each row
  when (old.state is distinct from new.state) execute function feed_on_challenge();

create function feed_on_setting() returns trigger language plpgsql as $$
begin
  perform feed_mark('setting', coalesce(new.key, old.key));
  return null;
end $$;
create trigger feed_setting_written after insert or update or delete on setting
  for each row execute function feed_on_setting();
