-- Splits: named, weighted variants in the place of one version. A split never changes; another weighting is another split.

create table splits (
    id uuid primary key,
    prompt_id uuid not null references prompts,
    -- The key of the hash that assigns units to buckets. A split that follows a split keeps it, so that units stay where they are.
    salt text collate "C" not null check (salt ~ '^[A-Za-z0-9._:-]{1,64}$'),
    -- How many variants it has.
    size smallint not null check (size between 2 and 10),
    created_by text not null,
    created_at timestamptz not null,
    -- The target of aliases: it makes "an alias points at a split of its own prompt" a foreign key.
    unique (prompt_id, id)
);

create function bucket_count(buckets int4multirange) returns bigint language sql immutable strict parallel safe as $$
    select coalesce(sum(upper(part) - lower(part)), 0) from unnest(buckets) as part
$$;

create table split_variants (
    split_id uuid not null,
    prompt_id uuid not null,
    position smallint not null check (position between 0 and 9),
    name text collate "C" not null check (name ~ '^[a-z0-9][a-z0-9._-]{0,62}$'),
    version_id uuid not null,
    -- Basis points.
    weight integer not null check (weight between 0 and 10000),
    -- Which of the 10,000 buckets belong to it: as many as its weight says.
    buckets int4multirange not null check (buckets <@ '{[0,10000)}' and bucket_count(buckets) = weight),
    -- What differs from the version; null is the version's own.
    model text,
    params jsonb check (jsonb_typeof(params) = 'object'),
    guardrails jsonb check (jsonb_typeof(guardrails) = 'object'),
    primary key (split_id, position),
    unique (split_id, name),
    foreign key (prompt_id, split_id) references splits (prompt_id, id),
    foreign key (prompt_id, version_id) references versions (prompt_id, id)
);
create index split_variants_by_version on split_variants (version_id);

-- The variants of a split are as many as it says, share all buckets without overlap, and each is published. Judged at commit, when all
-- are there; one that is added later is one too many.
create function splits_are_whole() returns trigger language plpgsql as $$
declare
    judged uuid := to_jsonb(new) ->> tg_argv[0];
begin
    if (select count(*) from split_variants where split_id = judged) <> (select size from splits where id = judged)
        or (
            select range_agg(part) is distinct from '{[0,10000)}'::int4multirange or sum(upper(part) - lower(part)) <> 10000
            from split_variants x, unnest(x.buckets) as part where x.split_id = judged
        )
    then
        raise exception 'the variants of split % do not share all buckets', judged using errcode = 'check_violation';
    end if;
    if exists (select from split_variants x join versions v on v.id = x.version_id where x.split_id = judged and v.published_at is null)
    then
        raise exception 'a variant of split % is not published', judged using errcode = 'check_violation';
    end if;
    return null;
end $$;
create constraint trigger splits_are_whole after insert on splits deferrable initially deferred
    for each row execute function splits_are_whole('id');
create constraint trigger splits_stay_whole after insert on split_variants deferrable initially deferred
    for each row execute function splits_are_whole('split_id');

create trigger splits_are_append_only before update or delete or truncate on splits
    for each statement execute function refuse_rewriting();
create trigger split_variants_are_append_only before update or delete or truncate on split_variants
    for each statement execute function refuse_rewriting();

alter table aliases add foreign key (prompt_id, split_id) references splits (prompt_id, id);
create index aliases_by_split on aliases (split_id) where split_id is not null;
alter table alias_history
    add foreign key (prompt_id, from_split_id) references splits (prompt_id, id),
    add foreign key (prompt_id, to_split_id) references splits (prompt_id, id),
    add check (num_nonnulls(from_version_id, from_split_id) <= 1),
    add check (num_nonnulls(to_version_id, to_split_id) <= 1),
    drop constraint alias_history_action_check,
    add constraint alias_history_action_check
        check (action in ('publish', 'set', 'rollback', 'delete', 'split', 'promote'));

-- How splits are read outside the hot path.
create view split_overview as
select s.id, s.prompt_id, s.salt, s.created_by, s.created_at,
    (
        select jsonb_agg(jsonb_build_object('name', x.name, 'version', v.number, 'weight', x.weight, 'model', x.model, 'params', x.params,
            'guardrails', x.guardrails) order by x.position)
        from split_variants x join versions v on v.id = x.version_id where x.split_id = s.id
    ) as variants
from splits s;

drop view prompt_overview;
create view prompt_overview as
select p.id, p.application_id, p.slug, p.folder, p.description, p.tags, p.is_active, p.next_version - 1 as latest_version,
    coalesce(
        (select jsonb_object_agg(a.name, v.number) from aliases a join versions v on v.id = a.version_id where a.prompt_id = p.id),
        '{}'
    ) as aliases,
    coalesce(
        (
            select jsonb_object_agg(a.name, (
                select jsonb_object_agg(x.name, v.number)
                from split_variants x join versions v on v.id = x.version_id where x.split_id = a.split_id
            ))
            from aliases a where a.prompt_id = p.id and a.split_id is not null
        ),
        '{}'
    ) as splits,
    p.created_by, p.created_at, p.updated_at, p.archived_at
from prompts p;

-- An alias that is split points at the versions of all its variants.
create or replace view version_overview as
select v.id, v.prompt_id, p.slug, v.number, v.semver, v.content_hash, v.branch, v.parents, v.message, v.created_by, v.created_at,
    v.published_at, v.published_by,
    array(
        select a.name from aliases a where a.version_id = v.id
        union
        select a.name from split_variants x join aliases a on a.split_id = x.split_id where x.version_id = v.id
        order by name
    ) as aliases,
    v.content
from versions v join prompts p on p.id = v.prompt_id;

create or replace view alias_moves as
select h.prompt_id, p.slug, h.alias, h.action, f.number as from_version, t.number as to_version, h.generation, h.actor, h.message, h.at,
    (select to_jsonb(s) - 'prompt_id' from split_overview s where s.id = h.from_split_id) as from_split,
    (select to_jsonb(s) - 'prompt_id' from split_overview s where s.id = h.to_split_id) as to_split
from alias_history h
join prompts p on p.id = h.prompt_id
left join versions f on f.id = h.from_version_id
left join versions t on t.id = h.to_version_id;
