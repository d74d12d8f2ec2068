-- What loops and lists ask for at any moment, found with 100,000 rows of each table: without these, each
-- question reads them all.

-- The next check of each lane (server/control/domains/due-store.ts), and what is due in it.
create index hostname_check_lane on hostname ((coalesce((check_problem->>'isSlow')::boolean, false)), check_due_at);
drop index hostname_check_due_at_idx;

-- Due certificates, those that did not fail before first (server/control/certificates/lease.ts): after an
-- outage, or a change of the issuer, all of them are due at once.
create index certificate_due_order on certificate ((failures > 0), due_at);

-- Deletes that may be forgotten (server/control/publish/store.ts).
create index feed_record_deleted on feed_record (revision) where payload is null;

-- Lists by state, in the order of pages.
create index hostname_ownership_state_id_idx on hostname (ownership_state, id);
create index certificate_state_id_idx on certificate (state, id);
