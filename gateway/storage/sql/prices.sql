-- Pricing stored calls anew, and taking that back.

-- name: unpriced
-- Models of calls in [$1, $2) that had no price, by what was billed, the most called first; the partial index holds only such rows.
select provider, model, billed, count(*) as calls, min(call_id::text collate "C") as first,
       max(call_id::text collate "C") as last
from (
    select provider, model, call_id,
        case when images > 0 then 'pictures ' || coalesce(picture, '- -')
             when audio_ms > 0 then 'seconds'
             when characters > 0 then 'characters'
             else 'tokens' end as billed
    from calls where cost_status = 'unpriced' and call_id >= $1 and call_id < $2 and provider is not null and model is not null
) c
group by provider, model, billed order by calls desc, provider, model, billed limit $3

-- name: page
-- The next calls of [$1, $2), after attempt $3 of the call $1; the range is said twice because only the plain comparisons choose
-- partitions. ``columns`` are the fields of gateway.pricing.rerate.Billed.
select {columns} from calls
where call_id >= $1 and call_id < $2 and (call_id, attempt) > ($1, $3)
order by call_id, attempt limit $4

-- name: begin
insert into rerates (id, at, actor, price_version, low, high, model) values ($1, $2, $3, $4, $5, $6, $7)

-- name: run
select id, at, actor, price_version, low, high, model, undone_at from rerates where id = $1

-- name: runs
select r.id, r.at, r.actor, r.price_version, r.low, r.high, r.model, r.undone_at,
       (select count(*) from rerated_calls c where c.rerate_id = r.id) as calls
from rerates r order by r.at desc, r.id desc limit $1

-- name: change
-- $1 the run, $2 its price version, $3, $4 the first and last call id of the batch, $5..$8 calls with their new cost. Both halves see the
-- rows as they were before; they are locked by then.
with given as (
    select * from unnest($5::uuid[], $6::smallint[], $7::bigint[], $8::text[]) as given (call_id, attempt, cost_nano, cost_status)
), kept as (
    insert into rerated_calls
    select $1, c.call_id, c.attempt, c.cost_nano, c.cost_status, c.price_version, given.cost_nano, given.cost_status, $2
    from given join calls c on c.call_id = given.call_id and c.attempt = given.attempt and c.call_id >= $3 and c.call_id <= $4
)
update calls c set cost_nano = given.cost_nano, cost_status = given.cost_status, price_version = $2
from given where c.call_id = given.call_id and c.attempt = given.attempt and c.call_id >= $3 and c.call_id <= $4

-- name: undo_page
-- The next calls of the run $1, after attempt $3 of the call $2.
select call_id, attempt from rerated_calls
where rerate_id = $1 and (call_id, attempt) > ($2, $3) order by call_id, attempt limit $4

-- name: undo
-- Gives the calls $4, $5 (of ids $2 to $3) of the run $1 what they said before; those that another run has changed since stay.
update calls c set cost_nano = h.old_cost_nano, cost_status = h.old_cost_status, price_version = h.old_price_version
from unnest($4::uuid[], $5::smallint[]) as given (call_id, attempt)
join rerated_calls h on h.rerate_id = $1 and h.call_id = given.call_id and h.attempt = given.attempt
where c.call_id = given.call_id and c.attempt = given.attempt and c.call_id >= $2 and c.call_id <= $3
  and c.cost_nano is not distinct from h.new_cost_nano
  and c.cost_status is not distinct from h.new_cost_status
  and c.price_version is not distinct from h.new_price_version

-- name: undone
update rerates set undone_at = $2 where id = $1 and undone_at is null
