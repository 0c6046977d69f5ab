-- The registry: who owns prompts, what they are, where their aliases point, and everything that ever moved.
-- Ids are UUIDv7 made by the caller. Texts that are compared or paged by are COLLATE "C": byte order, the same on every machine.

-- Applications live in workspaces so that organisations can share a deployment later; there is one until then.
create table workspaces (
    id uuid primary key,
    slug text collate "C" not null unique,
    name text not null,
    created_at timestamptz not null default now()
);
insert into workspaces (id, slug, name) values ('00000000-0000-7000-8000-000000000001', 'default', 'Default workspace');

create table applications (
    id uuid primary key,
    workspace_id uuid not null default '00000000-0000-7000-8000-000000000001' references workspaces,
    -- Never the shape of an id, because both name an application in the API.
    slug text collate "C" not null check (slug ~ '^[a-z0-9][a-z0-9_-]{0,62}$' and slug !~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-'),
    name text not null,
    description text not null default '',
    default_model text,
    requests_per_minute integer check (requests_per_minute >= 0),
    created_at timestamptz not null,
    updated_at timestamptz not null,
    archived_at timestamptz,
    unique (workspace_id, slug)
);

create table api_keys (
    id uuid primary key,
    application_id uuid not null references applications,
    public_id text collate "C" not null unique,
    -- SHA-256 of the key. A fast hash is right for 192 random bits.
    digest bytea not null unique check (octet_length(digest) = 32),
    name text not null default '',
    requests_per_minute integer check (requests_per_minute >= 0),
    created_at timestamptz not null,
    expires_at timestamptz,
    revoked_at timestamptz
);
create index api_keys_by_application on api_keys (application_id, created_at);

create table prompts (
    id uuid primary key,
    application_id uuid not null references applications,
    slug text collate "C" not null,
    folder text collate "C" generated always as (
        case when position('/' in slug) > 0 then regexp_replace(slug, '/[^/]*$', '') else '' end
    ) stored,
    description text not null default '',
    tags text[] not null default '{}',
    is_active boolean not null default true,
    next_version integer not null default 1 check (next_version > 0),
    created_by text not null,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    archived_at timestamptz,
    -- Archived prompts keep their name: ids in old calls and audit entries must stay unambiguous.
    unique (application_id, slug)
);
create index prompts_by_folder on prompts (application_id, folder);
create index prompts_by_tag on prompts using gin (tags);

create table versions (
    id uuid primary key,
    prompt_id uuid not null references prompts,
    number integer not null check (number > 0),
    semver text collate "C",
    -- json, not jsonb: the text stays byte for byte the canonical form that the hash covers.
    content json not null,
    content_hash text collate "C" not null check (content_hash = encode(sha256(convert_to(content::text, 'UTF8')), 'hex')),
    branch text collate "C" not null default 'main',
    -- None for a first version, two for a merge.
    parents uuid[] not null default '{}' check (cardinality(parents) <= 2),
    message text not null default '',
    created_by text not null,
    created_at timestamptz not null,
    published_at timestamptz,
    published_by text,
    check ((published_at is null) = (published_by is null)),
    unique (prompt_id, number),
    -- The target of aliases: it makes "an alias points into its own prompt" a foreign key.
    unique (prompt_id, id)
);
create unique index versions_by_semver on versions (prompt_id, semver) where semver is not null;
create index versions_by_hash on versions (prompt_id, content_hash, number desc);
create index versions_published on versions (prompt_id, number desc) where published_at is not null;

create function versions_are_immutable() returns trigger language plpgsql as $$
begin
    if old.published_at is not null
        or (new.id, new.prompt_id, new.number, new.semver, new.content::text, new.content_hash, new.branch, new.parents, new.message,
            new.created_by, new.created_at)
        is distinct from
           (old.id, old.prompt_id, old.number, old.semver, old.content::text, old.content_hash, old.branch, old.parents, old.message,
            old.created_by, old.created_at)
    then
        raise exception 'version % of prompt % is immutable', old.number, old.prompt_id using errcode = 'restrict_violation';
    end if;
    return new;
end $$;
create trigger versions_are_immutable before update on versions for each row execute function versions_are_immutable();

create table aliases (
    prompt_id uuid not null references prompts,
    name text collate "C" not null check (name ~ '^[a-z0-9][a-z0-9._-]{0,62}$' and name not in ('latest', 'draft')),
    version_id uuid,
    -- A weighted split of versions instead of one version; the table comes with experiments.
    split_id uuid,
    protected boolean not null default false,
    generation bigint not null,
    updated_by text not null,
    updated_at timestamptz not null,
    primary key (prompt_id, name),
    foreign key (prompt_id, version_id) references versions (prompt_id, id),
    check (num_nonnulls(version_id, split_id) = 1)
);
create index aliases_by_version on aliases (version_id);

create table alias_history (
    id uuid primary key,
    prompt_id uuid not null references prompts,
    alias text collate "C" not null,
    action text not null check (action in ('publish', 'set', 'rollback', 'delete')),
    from_version_id uuid,
    from_split_id uuid,
    to_version_id uuid,
    to_split_id uuid,
    -- Where a rollback from here leads: the entry that set the previous different target. Rolling back twice walks further back.
    undo uuid references alias_history,
    generation bigint not null,
    actor text not null,
    message text not null default '',
    at timestamptz not null,
    foreign key (prompt_id, from_version_id) references versions (prompt_id, id),
    foreign key (prompt_id, to_version_id) references versions (prompt_id, id)
);
create unique index alias_history_by_alias on alias_history (prompt_id, alias, generation desc);
create index alias_history_by_prompt on alias_history (prompt_id, generation desc);

-- The one row that every write locks first. Holding it until commit makes writes one line: generations become visible in order
-- (a reader of the outbox never skips one that commits late), version numbers and histories have no races, and the audit chain
-- has one head. Registry writes are made by people and scripts; the few hundred per second that this allows are plenty.
create table generation (
    singleton boolean primary key default true check (singleton),
    value bigint not null,
    audit_seq bigint not null,
    audit_hash bytea not null
);
insert into generation (value, audit_seq, audit_hash) values (0, 0, sha256('promptgate'));

-- What moved at which generation: workers that were away catch up from here.
create table outbox (
    generation bigint not null,
    kind text not null check (kind in ('prompt', 'key', 'application')),
    application_id uuid not null,
    name text collate "C" not null,
    created_at timestamptz not null,
    primary key (generation, kind, application_id, name)
);

-- Each entry's hash covers the previous one's, so a changed, removed or inserted entry breaks the chain; the head above holds its end.
create table audit (
    seq bigint primary key,
    at timestamptz not null,
    actor text not null,
    action text not null,
    object text not null,
    application_id uuid,
    detail jsonb not null default '{}',
    prev_hash bytea not null,
    hash bytea not null unique check (octet_length(hash) = 32)
);
create index audit_by_application on audit (application_id, seq desc);
create index audit_by_object on audit (object, seq desc);

create function refuse_rewriting() returns trigger language plpgsql as $$
begin
    raise exception '% is append-only', tg_table_name using errcode = 'restrict_violation';
end $$;
create trigger alias_history_is_append_only before update or delete or truncate on alias_history
    for each statement execute function refuse_rewriting();
create trigger audit_is_append_only before update or delete or truncate on audit
    for each statement execute function refuse_rewriting();

-- What each serving process has applied, for proof of propagation. Unlogged: after a crash of Postgres they simply report again.
create unlogged table workers (
    worker_id text primary key,
    host text not null,
    pid integer not null,
    slot integer not null,
    generation bigint not null,
    seen_at timestamptz not null
);

-- How prompts and versions are read outside the hot path.
create view prompt_overview as
select p.id, p.application_id, p.slug, p.folder, p.description, p.tags, p.is_active, p.next_version - 1 as latest_version,
    coalesce(
        (select jsonb_object_agg(a.name, v.number) from aliases a join versions v on v.id = a.version_id where a.prompt_id = p.id),
        '{}'
    ) as aliases,
    p.created_by, p.created_at, p.updated_at, p.archived_at
from prompts p;

create view version_overview as
select v.id, v.prompt_id, p.slug, v.number, v.semver, v.content_hash, v.branch, v.parents, v.message, v.created_by, v.created_at,
    v.published_at, v.published_by,
    array(select a.name from aliases a where a.version_id = v.id order by a.name) as aliases,
    v.content
from versions v join prompts p on p.id = v.prompt_id;

create view alias_moves as
select h.prompt_id, p.slug, h.alias, h.action, f.number as from_version, t.number as to_version, h.generation, h.actor, h.message, h.at
from alias_history h
join prompts p on p.id = h.prompt_id
left join versions f on f.id = h.from_version_id
left join versions t on t.id = h.to_version_id;
