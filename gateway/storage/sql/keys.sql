-- Single API keys: changing one, and a key in the place of another.

-- name: update_key
update api_keys
set name = $2, requests_per_minute = $3, expires_at = $4, lifetime_seconds = $5, scopes = $6, prompts = $7, models = $8
where id = $1;

-- name: insert_successor
-- A key with the rights, limits and lifetime of $1, which it counts with.
insert into api_keys (id, application_id, public_id, digest, name, requests_per_minute, created_at, expires_at, lifetime_seconds,
    scopes, prompts, models, pepper, ancestors)
select $2::uuid, application_id, $3::text, $4::bytea, name, requests_per_minute, $5::timestamptz,
    $5::timestamptz + lifetime_seconds * interval '1 second', lifetime_seconds,
    scopes, prompts, models, $6::text,
    -- The first one counts for all, so it stays; of the others the newest 62, as every document of the key says them.
    case when cardinality(ancestors) < 63 then ancestors else ancestors[1:1] || ancestors[3:] end || public_id
from api_keys where id = $1;

-- name: replace_key
-- It ends at $2 where it is given grace ($3), else it is revoked then; one that ends earlier anyway keeps its time.
update api_keys
set expires_at = case when $3 then least(expires_at, $2) else expires_at end, revoked_at = case when $3 then null else $2 end,
    replaced_by = $4
where id = $1;

-- name: used
-- Days only, and only forward, so that what each batch of calls repeats costs no write.
update api_keys k set last_used_on = u.day
from unnest($1::uuid[], $2::date[]) as u (id, day)
where k.id = u.id and (k.last_used_on is null or k.last_used_on < u.day);

-- name: count_by_pepper
-- Keys that open something, by the mark of the pepper in their digest (null: none).
select pepper, count(*) as keys from api_keys
where revoked_at is null and (expires_at is null or expires_at > now()) group by pepper;
