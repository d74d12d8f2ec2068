-- The certificate manager asks for these at each pass; they stay small whatever the number of names is.
create index hostname_without_certificate on hostname (id) where ownership_state = 'verified' and certificate_id is null;
create index certificate_paused on certificate (id) where state = 'paused';
