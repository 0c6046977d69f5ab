-- Splits: what an alias points at in the place of one version.

-- name: insert_split
insert into splits (id, prompt_id, salt, size, created_by, created_at) values ($1, $2, $3, $4, $5, $6);

-- name: insert_variant
insert into split_variants (split_id, prompt_id, position, name, version_id, weight, buckets, model, params, guardrails)
values ($1, $2, $3, $4, $5, $6, $7::text::int4multirange, $8, $9, $10);

-- name: split
select id, salt, created_by, created_at, variants from split_overview where prompt_id = $1 and id = $2;

-- name: split_of_alias
select split_id from aliases where prompt_id = $1 and name = $2;

-- name: buckets
select name, array(select array[lower(part), upper(part)] from unnest(buckets) as part) as buckets
from split_variants where split_id = $1 order by position;
