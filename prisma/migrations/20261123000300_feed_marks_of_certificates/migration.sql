-- A certificate is published while a hostname uses it: so a hostname that begins or ends to use one
-- marks it too (an uploaded certificate has its active version before any hostname points at it).
create function feed_mark_certificate(of_certificate uuid) returns void language sql as $$
  select feed_mark('certificate', v.fingerprint)
    from certificate c join certificate_version v on v.id = c.active_version_id where c.id = of_certificate;
$$;

create or replace function feed_on_hostname() returns trigger language plpgsql as $$
begin
  if tg_op <> 'INSERT' then
    perform feed_mark_certificate(old.certificate_id);
    perform feed_mark('name', old.name);
    perform feed_mark_site_addresses(old.site_id);
  end if;
  if tg_op <> 'DELETE' and (tg_op = 'INSERT' or (new.name, new.site_id, new.certificate_id)
      is distinct from (old.name, old.site_id, old.certificate_id)) then
    perform feed_mark_certificate(new.certificate_id);
    perform feed_mark('name', new.name);
    perform feed_mark_site_addresses(new.site_id);
  end if;
  return null;
end $$;

-- A challenge is published while its order is open.
create function feed_on_order() returns trigger language plpgsql as $$
begin
  perform feed_mark('challenge', type || ':' || token) from challenge where order_id = new.id;
  return null;
end $$;
create trigger feed_order_changed after update on "order" for each row
  when ((old.state in ('created', 'pending', 'ready', 'processing'))
    is distinct from (new.state in ('created', 'pending', 'ready', 'processing')))
  execute function feed_on_order();
