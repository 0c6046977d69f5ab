-- Prompts and their versions.

-- name: insert_prompt
insert into prompts (id, application_id, slug, description, tags, next_version, created_by, created_at, updated_at)
values ($1, $2, $3, $4, $5, 1, $6, $7, $7);

-- name: prompt
-- By slug or by id, of one application only.
select * from prompt_overview where application_id = $1 and (slug = $2 or id = $3);

-- name: prompts
-- $2 after, $3 archived too, $4 part of the slug, $5 a tag, $6 text in slug, description or newest content, $7 a folder and what is below.
select p.* from prompt_overview p
where p.application_id = $1 and p.slug > $2 and ($3 or p.archived_at is null)
    and ($4::text is null or p.slug ilike $4)
    and ($5::text is null or p.tags @> array[$5])
    and ($6::text is null or p.slug ilike $6 or p.description ilike $6 or exists (
        select 1 from versions v where v.prompt_id = p.id and v.number = p.latest_version and v.content::text ilike $6
    ))
    and ($7::text is null or p.folder = $7 or starts_with(p.folder, $7 || '/'))
order by p.slug limit $8;

-- name: update_prompt
update prompts set description = $2, tags = $3, is_active = $4, archived_at = $5, updated_at = $6 where id = $1;

-- name: next_number
update prompts set next_version = next_version + 1, updated_at = $2 where id = $1 returning next_version - 1;

-- name: insert_version
insert into versions (id, prompt_id, number, semver, content, content_hash, parents, message, created_by, created_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10);

-- name: version
select * from version_overview where prompt_id = $1 and number = $2;

-- name: versions
select id, prompt_id, slug, number, semver, content_hash, branch, parents, message, created_by, created_at, published_at, published_by,
    aliases
from version_overview where prompt_id = $1 and number < $2 order by number desc limit $3;

-- name: number_by_semver
select number from versions where prompt_id = $1 and semver = $2;

-- name: number_by_alias
select v.number from aliases a join versions v on v.id = a.version_id where a.prompt_id = $1 and a.name = $2;

-- name: number_published
select number from versions where prompt_id = $1 and published_at is not null order by number desc limit 1;

-- name: numbers_by_hash
-- The newest version of each content whose hash starts with $2; two rows mean that the prefix is ambiguous. ``g`` follows every hex digit.
select max(number) as number from versions
where prompt_id = $1 and content_hash >= $2 and content_hash < $2 || 'g' group by content_hash limit 2;

-- name: mark_published
update versions set published_at = $2, published_by = $3 where id = $1 and published_at is null;
