-- The ledger of calls: replaying rows, burying them, reading them back.

-- name: incoming
-- Where a batch goes that cannot be copied straight into calls because some of its rows are already there.
create temporary table incoming (like calls) on commit drop

-- name: merge
-- A batch may itself hold one key twice; only the most advanced row counts. Rows that are there only advance (promise N3);
-- ``assignments`` are all columns.
insert into calls
select distinct on (call_id, attempt) * from incoming order by call_id, attempt, state desc
on conflict (call_id, attempt) do update set {assignments}
where calls.state < excluded.state

-- name: bury
insert into calls_dead_letter (call_id, attempt, record, error) values ($1, $2, $3::text::json, $4)
on conflict (call_id, attempt) do nothing

-- name: add_partition
select calls_add_partition($1, $2::text::uuid, $3::text::uuid)

-- name: expired
-- Day partitions, oldest first; whether a day is over is judged by its name, which only calls_add_partition gives.
select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
where i.inhparent = 'calls'::regclass and c.relname ~ '^calls_[0-9]{8}$' and c.relname < $1 order by c.relname

-- name: expire_strays
-- Rows that came when their day's partition was not there, or is there no more.
delete from calls_default where call_id < $1::text::uuid

-- name: get
select * from calls where call_id = $1 order by attempt

-- name: page
-- Newest first. $1, $2: the bounds of call_id, both included; $3: attempts of $2 that come before; the range is said twice because
-- only the plain comparisons choose partitions. $5, $6: outcome and prompt, or null for any.
select * from calls
where call_id >= $1 and call_id <= $2 and (call_id, attempt) < ($2, $3)
  and ($5::text is null or outcome = $5) and ($6::text is null or prompt = $6)
order by call_id desc, attempt desc limit $4

-- name: page_of_application
select * from calls
where application_id = $7 and call_id >= $1 and call_id <= $2 and (call_id, attempt) < ($2, $3)
  and ($5::text is null or outcome = $5) and ($6::text is null or prompt = $6)
order by call_id desc, attempt desc limit $4

-- name: page_of_prompt
select * from calls
where application_id = $7 and prompt = $6 and call_id >= $1 and call_id <= $2 and (call_id, attempt) < ($2, $3)
  and ($5::text is null or outcome = $5)
order by call_id desc, attempt desc limit $4

-- name: page_of_trace
select * from calls
where trace_id = $8 and call_id >= $1 and call_id <= $2 and (call_id, attempt) < ($2, $3)
  and ($5::text is null or outcome = $5) and ($6::text is null or prompt = $6)
  and ($7::text::uuid is null or application_id = $7::text::uuid)
order by call_id desc, attempt desc limit $4
