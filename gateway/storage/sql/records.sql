-- Every write, and what it leaves behind.

-- name: begin_write
-- Locks out every other write until the end of the transaction.
select value, audit_seq, audit_hash from generation for update;

-- name: commit_write
-- $1 generation, $2 time, $3-$5 kinds, applications and names of what moved, $6.. the audit entry.
with moved as (
    insert into outbox (generation, kind, application_id, name, created_at)
    select $1, kind, application_id, name, $2
    from unnest($3::text[], $4::uuid[], $5::text[]) as change (kind, application_id, name)
), counted as (
    -- Each application counts its own changes.
    update applications set generation = generation + 1 where id = any($4::uuid[])
), entry as (
    insert into audit (seq, at, actor, action, object, application_id, detail, prev_hash, hash)
    values ($6, $2, $7, $8, $9, $10, $11, $12, $13)
)
update generation set value = $1, audit_seq = $6, audit_hash = $13;

-- name: audit_page
select seq, at, actor, action, object, detail, encode(hash, 'hex') as hash
from audit where seq < $1 order by seq desc limit $2;

-- name: audit_stretch
-- Oldest first, for checking the chain.
select seq, at, actor, action, object, application_id, detail, hash from audit where seq > $1 order by seq limit $2;

-- name: audit_head
select audit_seq, audit_hash from generation;

-- name: report_worker
-- Those that have been silent for an hour are gone for good: a worker id is never used twice.
with gone as (delete from workers where seen_at < now() - interval '1 hour' and worker_id <> $1)
insert into workers (worker_id, host, pid, slot, generation, seen_at) values ($1, $2, $3, $4, $5, clock_timestamp())
on conflict (worker_id) do update set generation = excluded.generation, seen_at = excluded.seen_at;

-- name: forget_worker
delete from workers where worker_id = $1;

-- name: live_workers
-- Ages by this server's clock alone, so that hosts need not agree on the time.
select worker_id, host, pid, slot, generation, extract(epoch from clock_timestamp() - seen_at)::float8 as age_s
from workers where seen_at > clock_timestamp() - make_interval(secs => $1) order by host, slot, worker_id;
