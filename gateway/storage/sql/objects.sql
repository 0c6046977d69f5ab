-- Files and batches at providers, and whose they are (migration 0004).

-- name: claim
insert into upstream_objects (provider, object_id, application_id)
select $2, given.object_id, $1 from unnest($3::text[]) as given (object_id)
on conflict (provider, object_id) do nothing;

-- name: provider_of
select provider from upstream_objects where application_id = $1 and object_id = $2 order by claimed desc limit 1;

-- name: owned
select object_id from upstream_objects where provider = $2 and object_id = any($3::text[]) and application_id = $1;

-- name: has_any
select exists (select from upstream_objects where application_id = $1 and provider = $2);

-- name: forget
delete from upstream_objects where application_id = $1 and provider = $2 and object_id = $3;
