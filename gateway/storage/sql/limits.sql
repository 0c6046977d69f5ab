-- Limit rules of applications.

-- name: rules
select id, name, scope, metric, amount, period as "window", match, mode, on_store_error, local_amount, shadow, hard
from limit_rules where application_id = $1 order by name;

-- name: rule
select id, name, scope, metric, amount, period as "window", match, mode, on_store_error, local_amount, shadow, hard
from limit_rules where application_id = $1 and name = $2;

-- name: put_rule
-- A rule that is put again has the id that it is given: its own, with what it has counted, or a new one.
insert into limit_rules (id, application_id, name, scope, match, metric, period, amount, mode, on_store_error, local_amount, shadow, hard,
    created_at, updated_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $14)
on conflict (application_id, name) do update
set id = $1, scope = $4, match = $5, metric = $6, period = $7, amount = $8, mode = $9, on_store_error = $10, local_amount = $11, shadow = $12,
    hard = $13, updated_at = $14;

-- name: delete_rule
delete from limit_rules where id = $1;
