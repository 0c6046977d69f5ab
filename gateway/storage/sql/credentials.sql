-- Keys of provider accounts, sealed. An owner is an application's id; that of the installation stands for null.

-- name: credentials
-- Those of one application ($2 false: of the installation, when $1 is null), or of everybody.
select c.id, o.slug as application, c.provider, c.name, c.hint, c.key_id, c.created_by, c.created_at, c.updated_at, c.last_used_on,
    coalesce(c.application_id, '00000000-0000-7000-8000-000000000001') as owner, c.wrapped_key, c.ciphertext
from provider_credentials c left join applications o on o.id = c.application_id
where $2 or c.application_id is not distinct from $1
order by o.slug nulls first, c.provider, c.created_at, c.id;

-- name: credential
select c.id, o.slug as application, c.provider, c.name, c.hint, c.key_id, c.created_by, c.created_at, c.updated_at, c.last_used_on,
    coalesce(c.application_id, '00000000-0000-7000-8000-000000000001') as owner, c.wrapped_key, c.ciphertext
from provider_credentials c left join applications o on o.id = c.application_id
where c.id = $1;

-- name: count
select count(*) from provider_credentials where application_id is not distinct from $1;

-- name: insert
insert into provider_credentials
    (id, application_id, provider, name, hint, key_id, wrapped_key, ciphertext, created_by, created_at, updated_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10);

-- name: replace
update provider_credentials set hint = $2, key_id = $3, wrapped_key = $4, ciphertext = $5, updated_at = $6 where id = $1;

-- name: rewrap
update provider_credentials set key_id = $2, wrapped_key = $3 where id = $1;

-- name: used
-- Days only, and only forward, so that what each batch of calls repeats costs no write.
update provider_credentials c set last_used_on = u.day
from unnest($1::uuid[], $2::date[]) as u (id, day)
where c.id = u.id and (c.last_used_on is null or c.last_used_on < u.day);

-- name: delete
delete from provider_credentials where id = $1;
