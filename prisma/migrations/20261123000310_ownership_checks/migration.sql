-- When ownership was looked at last, and when a domain's own record is looked at next.
alter table hostname add column checked_at timestamptz(3);
alter table domain add column check_due_at timestamptz(3);
create index domain_check_due_at_idx on domain (check_due_at);
