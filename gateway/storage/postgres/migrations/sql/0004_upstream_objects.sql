-- Files and batches that applications have made at providers. An account there is shared by all applications of this installation,
-- so whose an object is, is known here only. The object itself stays at the provider; this is its name and its owner.
create table upstream_objects (
    -- As in providers.toml. No foreign key: providers are configuration.
    provider text collate "C" not null,
    -- The provider's id, such as file-abc or batch_abc.
    object_id text collate "C" not null,
    application_id uuid not null references applications (id) on delete cascade,
    created_at timestamptz not null default now(),
    -- The order of claims: should two providers use one id, the later one is meant.
    claimed bigint generated always as identity,
    primary key (provider, object_id)
);

create index upstream_objects_by_application on upstream_objects (application_id, object_id);
