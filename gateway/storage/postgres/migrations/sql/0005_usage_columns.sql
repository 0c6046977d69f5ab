-- What else vendors bill (gateway/core/events.py, Usage): parts of input_tokens or output_tokens, and things that are no tokens. Null in
-- older rows: unknown. Adding columns without a default rewrites nothing, and the partitions follow.
alter table calls
    add column cache_write_tokens bigint,
    add column cache_write_1h_tokens bigint,
    add column audio_input_tokens bigint,
    add column audio_cached_tokens bigint,
    add column audio_output_tokens bigint,
    add column image_input_tokens bigint,
    add column image_output_tokens bigint,
    add column images bigint,
    add column request_units bigint,
    add column service_tier text collate "C";

-- Which models have no price: rare rows, so the index is small and a month of them is found at once.
create index calls_unpriced on calls (call_id) where cost_status = 'unpriced';

-- Runs that priced stored calls anew, and what each changed call said before: nothing is lost, and a run can be undone.
create table rerates (
    id uuid primary key,
    at timestamptz not null,
    actor text not null,
    price_version text collate "C" not null,
    -- Call ids, the first included and the second not.
    low uuid not null,
    high uuid not null,
    model text,
    undone_at timestamptz
);

-- No foreign key to calls: a partition may be dropped, and its history with it is then merely unused.
create table rerated_calls (
    rerate_id uuid not null references rerates (id) on delete cascade,
    call_id uuid not null,
    attempt smallint not null,
    old_cost_nano bigint,
    old_cost_status text collate "C",
    old_price_version text collate "C",
    new_cost_nano bigint,
    new_cost_status text collate "C",
    new_price_version text collate "C",
    primary key (rerate_id, call_id, attempt)
);
