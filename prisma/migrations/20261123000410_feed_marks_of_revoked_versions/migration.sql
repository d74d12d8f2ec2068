-- A revoked version is served no more: the names and addresses that serve it follow.
create or replace function feed_on_version() returns trigger language plpgsql as $$
begin
  perform feed_mark('certificate', old.fingerprint);
  perform feed_mark('name', h.name), feed_mark_site_addresses(h.site_id)
    from certificate c join hostname h on h.certificate_id = c.id where c.active_version_id = old.id;
  return null;
end $$;
