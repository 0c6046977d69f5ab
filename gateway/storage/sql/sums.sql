-- Sums of the ledger by hours and days: how they are made and told that they are no longer true (gateway/storage/postgres/sums.py).

-- name: touch
-- Rows of the spans $1, $2 (grains, starts) were added or changed in this transaction. In the order of the key, as whoever else does.
insert into call_spans (grain, start_ms, version)
select grain, start_ms, 1 from unnest($1::text[], $2::bigint[]) as given (grain, start_ms) order by 1, 2
on conflict (grain, start_ms) do update set version = call_spans.version + 1;

-- name: summed
-- The spans of [$1, $2) whose sums are true.
select grain, start_ms from call_spans where summed = version and start_ms >= $1 and start_ms < $2;

-- name: rules
-- Which applications have limits that sums are for, by scope; the id of a rule says when it was made.
select scope, application_id, max(period) as period, min(id::text) as oldest from limit_rules
where period in ('day', 'month') and metric <> 'concurrency' group by scope, application_id;

-- name: known
-- The version of a span. Committed before its rows are read, so that whoever adds a row meets it.
insert into call_spans (grain, start_ms) values ($1, $2) on conflict do nothing;

-- name: turn
-- One process sums up at a time; the key is "promptgate sums" as far as it fits.
select pg_try_advisory_xact_lock(hashtextextended('call_sums', 0));

-- name: version
-- Nothing where the sums are true already: another process was at it since this one looked.
select version from call_spans where grain = $1 and start_ms = $2 and summed is distinct from version;

-- name: clear
delete from call_sums where grain = $1 and start_ms = $2;

-- name: sum_hour
-- $1, $2 the scope and the hour; $3, $4: the calls' ids from and up to; $5 the applications. ``value`` and ``source`` are those of the scope;
-- what counts as a request is said in spending.sql.
insert into call_sums
select c.application_id, $1, 'hour', $2, {value},
    count(*) filter (where c.attempt = 1 or (c.attempt = 0 and c.shadowed is not null)),
    least(coalesce(sum(c.input_tokens), 0), 9007199254740991)::bigint,
    least(coalesce(sum(c.output_tokens), 0), 9007199254740991)::bigint,
    least(coalesce(sum(c.cost_nano), 0), 9007199254740991)::bigint
from calls c {source}
where c.call_id >= $3::text::uuid and c.call_id < $4::text::uuid and c.application_id = any($5::uuid[]) and {value} is not null
group by 1, 5;

-- name: hours_of_day
-- How many of the hours of [$1, $2) have sums that are true.
select count(*) from call_spans where grain = 'hour' and start_ms >= $1 and start_ms < $2 and summed = version;

-- name: sum_day
-- $1, $2: the day's beginning and end.
insert into call_sums
select application_id, scope, 'day', $1, value, sum(requests)::bigint,
    least(sum(input_tokens), 9007199254740991)::bigint,
    least(sum(output_tokens), 9007199254740991)::bigint,
    least(sum(cost_nano), 9007199254740991)::bigint
from call_sums where grain = 'hour' and start_ms >= $1 and start_ms < $2
group by application_id, scope, value;

-- name: close
-- The sums were made at the version $3; if another row has come since, they are made again.
update call_spans set summed = $3 where grain = $1 and start_ms = $2 and version = $3;

-- name: forget_spans
delete from call_spans where start_ms < $1;

-- name: forget_sums
delete from call_sums where grain in ('hour', 'day') and start_ms < $1;
