-- Rules that Prisma's schema language cannot express. They hold whoever writes: also a person with psql.

alter table installation
  add constraint installation_single check (id = 1),
  add constraint installation_revision check (revision >= 0 and pruned_revision between 0 and revision);

alter table tenant add constraint tenant_name check (name = btrim(name) and length(name) between 1 and 200);
create unique index tenant_system on tenant (is_system) where is_system;

alter table "user" add constraint user_email check (email = lower(btrim(email)) and length(email) between 3 and 254);

alter table plan add constraint plan_limits
  check (coalesce(max_sites, 0) >= 0 and coalesce(max_hostnames, 0) >= 0 and coalesce(max_release_bytes, 0) >= 0);

-- Names are stored in one form only: ASCII, lower case, no trailing dot, at most 253 octets.
alter table domain add constraint domain_name
  check (name ~ '^[a-z0-9-]+(\.[a-z0-9-]+)+$' and length(name) <= 253);
alter table hostname add constraint hostname_name
  check (name ~ '^(\*\.)?[a-z0-9-]+(\.[a-z0-9-]+)+$' and length(name) <= 253);
alter table proof add constraint proof_name check (name ~ '^(\*\.)?[a-z0-9-]+(\.[a-z0-9-]+)+$');

-- One name has one proven owner; an unproven claim blocks nobody.
create unique index hostname_verified_name on hostname (name) where ownership_state = 'verified';
create unique index domain_verified_name on domain (name) where state = 'verified';
alter table hostname add constraint hostname_verified_at
  check (ownership_state <> 'verified' or verified_at is not null);

alter table site
  add constraint site_proxy check ((kind = 'proxy') = (upstreams is not null)),
  add constraint site_redirect check ((kind = 'redirect') = (redirect_to is not null)),
  add constraint site_redirect_status check (redirect_status is null or redirect_status in (301, 302, 303, 307, 308)),
  add constraint site_release check (active_release_id is null or kind = 'static');

alter table release
  add constraint release_digest check (manifest_digest ~ '^[0-9a-f]{64}$'),
  add constraint release_size check (files >= 0 and bytes >= 0 and number > 0);

alter table issuer
  add constraint issuer_acme check (kind <> 'acme' or directory_url is not null),
  add constraint issuer_local check (kind <> 'local' or (root_pem is not null and root_key_sealed is not null)),
  add constraint issuer_eab check ((eab_kid is null) = (eab_key_sealed is null));
create unique index acme_account_current on acme_account (issuer_id) where is_current;

alter table certificate
  add constraint certificate_names check (cardinality(names) between 1 and 100),
  add constraint certificate_valid check (state not in ('valid', 'renewing') or active_version_id is not null),
  add constraint certificate_lease check ((lease_holder is null) = (lease_expires_at is null));
alter table certificate_version
  add constraint certificate_version_fingerprint check (fingerprint ~ '^[0-9a-f]{64}$'),
  add constraint certificate_version_dates check (not_before < not_after);

-- Two orders for one certificate are never open at the same time.
create unique index order_open on "order" (certificate_id) where state in ('created', 'pending', 'ready', 'processing');

alter table address
  add constraint address_text check (address = host(address::inet)),
  add constraint address_site check (site_id is null or use = 'dedicated'),
  add constraint address_allocated check ((state in ('allocated', 'draining')) = (site_id is not null)),
  add constraint address_legacy check (legacy_tls = 'none' or site_id is not null);

alter table edge add constraint edge_key check (length(public_key) = 32);
alter table feed_record add constraint feed_record_revision check (revision > 0);
