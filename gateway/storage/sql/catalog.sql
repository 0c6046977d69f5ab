-- What the data plane asks: one indexed statement each. The generation comes from the same snapshot as the row it stands beside.

-- ``changed`` counts the changes of the application itself.

-- name: by_alias
-- One row, or where the alias is split one for each variant, in order.
select o.generation as changed, g.value as generation, p.id as prompt_id, v.number, v.semver, v.content_hash, v.content::text as content,
    s.id as split_id, s.salt, x.name, x.weight, x.model, x.params, x.guardrails,
    array(select array[lower(part), upper(part)] from unnest(x.buckets) as part) as buckets
from prompts p
join applications o on o.id = p.application_id and o.archived_at is null
join aliases a on a.prompt_id = p.id and a.name = $3
left join splits s on s.id = a.split_id
left join split_variants x on x.split_id = a.split_id
join versions v on v.id = coalesce(a.version_id, x.version_id) and v.published_at is not null
cross join generation g
where p.application_id = $1 and p.slug = $2 and p.is_active and p.archived_at is null
order by x.position;

-- name: by_number
select o.generation as changed, g.value as generation, p.id as prompt_id, v.number, v.semver, v.content_hash, v.content::text as content
from prompts p
join applications o on o.id = p.application_id and o.archived_at is null
join versions v on v.prompt_id = p.id and v.number = $3 and v.published_at is not null
cross join generation g
where p.application_id = $1 and p.slug = $2 and p.is_active and p.archived_at is null;

-- name: by_semver
select o.generation as changed, g.value as generation, p.id as prompt_id, v.number, v.semver, v.content_hash, v.content::text as content
from prompts p
join applications o on o.id = p.application_id and o.archived_at is null
join versions v on v.prompt_id = p.id and v.semver = $3 and v.published_at is not null
cross join generation g
where p.application_id = $1 and p.slug = $2 and p.is_active and p.archived_at is null;

-- name: by_hash
-- The newest published version of each matching content; two rows mean an ambiguous prefix. ``g`` follows every hex digit.
select distinct on (v.content_hash)
    o.generation as changed, g.value as generation, p.id as prompt_id, v.number, v.semver, v.content_hash, v.content::text as content
from prompts p
join applications o on o.id = p.application_id and o.archived_at is null
join versions v on v.prompt_id = p.id and v.content_hash >= $3 and v.content_hash < $3 || 'g' and v.published_at is not null
cross join generation g
where p.application_id = $1 and p.slug = $2 and p.is_active and p.archived_at is null
order by v.content_hash, v.number desc limit 2;

-- name: latest
select o.generation as changed, g.value as generation, p.id as prompt_id, v.number, v.semver, v.content_hash, v.content::text as content
from prompts p
join applications o on o.id = p.application_id and o.archived_at is null
join versions v on v.prompt_id = p.id and v.published_at is not null
cross join generation g
where p.application_id = $1 and p.slug = $2 and p.is_active and p.archived_at is null
order by v.number desc limit 1;

-- name: keys
-- Live keys. The limit of the key goes before the limit of its application.
select g.value as generation, k.id as key_id, o.id as application_id, o.slug as application, k.public_id, k.ancestors,
    coalesce(k.requests_per_minute, o.requests_per_minute) as requests_per_minute, o.default_model,
    floor(extract(epoch from k.expires_at) * 1000)::bigint as expires_at_ms, o.store_responses,
    k.scopes, k.prompts, k.models, encode(k.digest, 'hex') as digest,
    coalesce(
        (
            select jsonb_agg(
                jsonb_build_object('id', l.id, 'name', l.name, 'scope', l.scope, 'metric', l.metric, 'amount', l.amount,
                    'window', l.period, 'match', l.match, 'mode', l.mode, 'on_store_error', l.on_store_error,
                    'local_amount', l.local_amount, 'shadow', l.shadow, 'hard', l.hard)
                order by l.name
            )
            from limit_rules l where l.application_id = o.id
        ),
        '[]'
    ) as limits,
    o.guardrails, o.routes,
    coalesce(
        (
            select jsonb_agg(
                -- Postgres breaks base64 into lines.
                jsonb_build_object('id', c.id, 'owner', c.application_id, 'provider', c.provider, 'key_id', c.key_id,
                    'wrapped_key', translate(encode(c.wrapped_key, 'base64'), E'\n', ''),
                    'ciphertext', translate(encode(c.ciphertext, 'base64'), E'\n', ''))
                order by c.created_at, c.id
            )
            from provider_credentials c where c.application_id = o.id
        ),
        '[]'
    ) as credentials
from api_keys k
join applications o on o.id = k.application_id and o.archived_at is null
cross join generation g
where k.digest = any($1::bytea[]) and k.revoked_at is null and (k.expires_at is null or k.expires_at > now());

-- name: credentials
-- The installation's own.
select id, '00000000-0000-7000-8000-000000000001' as owner, provider, key_id, wrapped_key, ciphertext
from provider_credentials where application_id is null order by created_at, id;

-- name: slug
select slug from prompts where application_id = $1 and id = $2;

-- name: names
select p.slug, a.name
from prompts p
join applications o on o.id = p.application_id and o.archived_at is null
join aliases a on a.prompt_id = p.id
left join versions v on v.id = a.version_id
where (v.published_at is not null or a.split_id is not null) and p.application_id = $1 and p.is_active and p.archived_at is null;

-- name: generation
select value from generation;

-- name: changes
select generation, kind, application_id, name from outbox where generation > $1 order by generation, kind, name;
