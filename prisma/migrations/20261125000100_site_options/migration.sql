-- What a site sets beyond what it serves: only what differs from the defaults.
alter table site add column options jsonb not null default '{}';

drop trigger feed_site_changed on site;
create trigger feed_site_changed after update on site for each row
  when ((old.kind, old.state, old.active_release_id, old.upstreams, old.redirect_to, old.redirect_status, old.is_panel, old.options)
    is distinct from (new.kind, new.state, new.active_release_id, new.upstreams, new.redirect_to, new.redirect_status, new.is_panel, new.options))
  execute function feed_on_site();
