-- Limits and budgets as data: the rules of an application. Keys carry them to the data plane; the counters are in Redis.

create table limit_rules (
    id uuid primary key,
    application_id uuid not null references applications,
    name text collate "C" not null check (name ~ '^[a-z0-9][a-z0-9._-]{0,62}$'),
    scope text not null check (scope in ('application', 'key', 'tag', 'user', 'model')),
    -- The one value that is counted, or '*': each value of the scope by itself.
    match text not null check (length(match) between 1 and 256),
    metric text not null check (metric in ('requests', 'input_tokens', 'output_tokens', 'tokens', 'cost_nano', 'concurrency')),
    -- By name, as "window" is a word of SQL.
    period text not null check (period in ('second', 'minute', 'hour', 'day', 'month', 'none')),
    -- What a Lua number counts exactly.
    amount bigint not null check (amount between 0 and 9007199254740991),
    mode text not null check (mode in ('exact', 'leased')),
    on_store_error text not null check (on_store_error in ('open', 'closed')),
    local_amount bigint check (local_amount between 0 and 9007199254740991),
    shadow boolean not null,
    hard boolean not null,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    check ((metric = 'concurrency') = (period = 'none')),
    check (metric <> 'concurrency' or mode = 'exact'),
    check (scope <> 'application' or match = '*'),
    unique (application_id, name)
);
