-- Aliases: movable names, and the record of every move.

-- name: alias
select a.name, a.version_id, a.split_id, a.protected, v.number as version
from aliases a left join versions v on v.id = a.version_id where a.prompt_id = $1 and a.name = $2;

-- name: aliases
select p.slug, a.name, v.number as version, v.content_hash, a.generation, a.protected, a.updated_by, a.updated_at,
    (select to_jsonb(s) - 'prompt_id' from split_overview s where s.id = a.split_id) as split
from aliases a join prompts p on p.id = a.prompt_id left join versions v on v.id = a.version_id
where a.prompt_id = $1 order by a.name;

-- name: point
insert into aliases (prompt_id, name, version_id, split_id, generation, updated_by, updated_at) values ($1, $2, $3, $4, $5, $6, $7)
on conflict (prompt_id, name) do update
set version_id = excluded.version_id, split_id = excluded.split_id, generation = excluded.generation, updated_by = excluded.updated_by,
    updated_at = excluded.updated_at;

-- name: delete_alias
delete from aliases where prompt_id = $1 and name = $2;

-- name: last_move
-- Where the alias stands, and what a rollback from here would lead back to.
select h.id, h.to_version_id, h.to_split_id, h.undo, u.to_version_id as undo_version_id, u.to_split_id as undo_split_id,
    u.undo as undo_undo, v.number as undo_version
from alias_history h
left join alias_history u on u.id = h.undo
left join versions v on v.id = u.to_version_id
where h.prompt_id = $1 and h.alias = $2 order by h.generation desc limit 1;

-- name: record_move
insert into alias_history (id, prompt_id, alias, action, from_version_id, from_split_id, to_version_id, to_split_id, undo, generation,
    actor, message, at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13);

-- name: moves
select slug, alias, action, from_version, to_version, generation, actor, message, at, from_split, to_split
from alias_moves where prompt_id = $1 and ($2::text is null or alias = $2) and generation < $3 order by generation desc limit $4;
