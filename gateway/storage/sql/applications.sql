-- Applications and their keys.

-- name: insert_application
insert into applications (id, slug, name, description, default_model, requests_per_minute, created_at, updated_at, store_responses)
values ($1, $2, $3, $4, $5, $6, $7, $7, $8);

-- name: application
-- By slug or by id.
select id, slug, name, description, default_model, requests_per_minute, created_at, updated_at, archived_at,
    store_responses
from applications
where workspace_id = '00000000-0000-7000-8000-000000000001' and slug = $1 or id = $2;

-- name: applications
select id, slug, name, description, default_model, requests_per_minute, created_at, updated_at, archived_at,
    store_responses
from applications
where workspace_id = '00000000-0000-7000-8000-000000000001' and slug > $1 and ($2 or archived_at is null)
order by slug limit $3;

-- name: update_application
update applications set name = $2, description = $3, default_model = $4, requests_per_minute = $5, archived_at = $6, updated_at = $7,
    store_responses = $8
where id = $1;

-- name: insert_key
insert into api_keys (id, application_id, public_id, digest, name, requests_per_minute, created_at, expires_at, lifetime_seconds,
    scopes, prompts, models, pepper)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13);

-- name: key
-- By id or public id, of one application only.
select id, application_id, public_id, name, requests_per_minute, created_at, expires_at, revoked_at, scopes, prompts, models,
    lifetime_seconds, replaced_by, last_used_on, ancestors, encode(digest, 'hex') as digest
from api_keys where application_id = $1 and (public_id = $2 or id = $3);

-- name: keys
select id, application_id, public_id, name, requests_per_minute, created_at, expires_at, revoked_at, scopes, prompts, models,
    lifetime_seconds, replaced_by, last_used_on, ancestors
from api_keys where application_id = $1 and ($2 or revoked_at is null) order by created_at, id;

-- name: live_digests
select encode(digest, 'hex') as digest from api_keys where application_id = $1 and revoked_at is null;

-- name: revoke_key
update api_keys set revoked_at = $2 where id = $1;

-- name: end_keys
-- Every live key ends at $2; one that ends earlier anyway keeps its time.
update api_keys
set expires_at = case when $3 then least(expires_at, $2) else expires_at end, revoked_at = case when $3 then null else $2 end
where application_id = $1 and revoked_at is null
returning encode(digest, 'hex') as digest;

-- name: guardrails
select guardrails from applications where id = $1;

-- name: set_guardrails
update applications set guardrails = $2, updated_at = $3 where id = $1;

-- name: routes
select routes from applications where id = $1;

-- name: set_routes
update applications set routes = $2, updated_at = $3 where id = $1;
