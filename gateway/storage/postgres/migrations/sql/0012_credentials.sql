-- Keys of provider accounts, sealed (gateway/storage/vault.py): no text of a key is ever here. Null application: the installation's.
create table provider_credentials (
    id uuid primary key,
    application_id uuid references applications,
    provider text collate "C" not null check (provider ~ '^[a-z][a-z0-9-]{0,40}$'),
    -- Tells several keys of one account apart.
    name text collate "C" not null check (name ~ '^[a-z0-9][a-z0-9._-]{0,62}$'),
    -- The last characters of the key, for people; empty where they would be much of it.
    hint text not null check (length(hint) <= 4),
    -- Which of the installation's keys wrapped the data key.
    key_id text collate "C" not null,
    wrapped_key bytea not null,
    ciphertext bytea not null,
    created_by text not null,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    unique nulls not distinct (application_id, provider, name)
);

-- Routes of an application (docs/configuration.md, [[routes]]), which go before the installation's. Null: it has none.
alter table applications add column routes jsonb;
