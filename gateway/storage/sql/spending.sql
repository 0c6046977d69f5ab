-- What calls have used, as the limits count it (gateway/core/spending.py).

-- name: totals
-- $1 the application; $2, $3: the calls' ids from and up to; $4 the value that is wanted, or '*'; $5 the time that they must have ended
-- before, in milliseconds since the epoch, or null; $6 the most values; $7 calls that are left out. ``value`` and ``source`` are those of a scope. A call is one request,
-- whatever its attempts; attempt 0 (answered from a cache, or blocked) is one if the limits let it in.
select {value} as value,
    count(*) filter (where c.attempt = 1 or (c.attempt = 0 and c.shadowed is not null)) as requests,
    least(coalesce(sum(c.input_tokens), 0), 9007199254740991)::bigint as input_tokens,
    least(coalesce(sum(c.output_tokens), 0), 9007199254740991)::bigint as output_tokens,
    least(coalesce(sum(c.cost_nano), 0), 9007199254740991)::bigint as cost_nano
from calls c {source}
where c.application_id = $1 and c.call_id >= $2::text::uuid and c.call_id < $3::text::uuid
  and {value} is not null and ($4::text = '*' or {value} = $4)
  and ($5::bigint is null
       or ('x' || left(replace(c.call_id::text, '-', ''), 12))::bit(48)::bigint + c.latency_us / 1000 < $5)
  and c.call_id <> all($7::text[]::uuid[])
group by 1 order by 2 desc, 1 limit $6;

-- name: sums
-- $1 the application, $2 the scope; $3, $4: the spans' grains and starts; $5 the most values. Each value of the scope.
select s.value, sum(s.requests)::bigint as requests,
    least(sum(s.input_tokens), 9007199254740991)::bigint as input_tokens,
    least(sum(s.output_tokens), 9007199254740991)::bigint as output_tokens,
    least(sum(s.cost_nano), 9007199254740991)::bigint as cost_nano
from unnest($3::text[], $4::bigint[]) as span (grain, start_ms)
join call_sums s on s.application_id = $1 and s.scope = $2 and s.grain = span.grain and s.start_ms = span.start_ms
group by 1 order by 2 desc, 1 limit $5;

-- name: sums_of_value
-- The same of the value $5 alone.
select s.value, sum(s.requests)::bigint as requests,
    least(sum(s.input_tokens), 9007199254740991)::bigint as input_tokens,
    least(sum(s.output_tokens), 9007199254740991)::bigint as output_tokens,
    least(sum(s.cost_nano), 9007199254740991)::bigint as cost_nano
from unnest($3::text[], $4::bigint[]) as span (grain, start_ms)
join call_sums s on s.application_id = $1 and s.scope = $2 and s.grain = span.grain and s.start_ms = span.start_ms and s.value = $5
group by 1;

-- name: charges
-- All attempts of calls together; what they have in common stands on each of their rows.
select c.call_id, c.application_id,
    case when k.id is null then '{}' else k.ancestors || k.public_id end as keys, max(coalesce(c.route, c.requested_model)) as model, max(c."user") as "user",
    max(c.tags) as tags,
    coalesce(sum(c.input_tokens), 0)::bigint as input_tokens,
    coalesce(sum(c.output_tokens), 0)::bigint as output_tokens,
    coalesce(sum(c.cost_nano), 0)::bigint as cost_nano
from calls c left join api_keys k on k.id = c.key_id
where c.call_id = any($1::text[]::uuid[]) and c.application_id is not null
group by c.call_id, c.application_id, k.id;
