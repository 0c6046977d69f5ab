-- The ledger: one row per attempt of a call (gateway/core/ledger.py, LedgerRow; the columns are its fields, in order).
-- call_id is a UUIDv7 and starts with the call's time, so ranges of it are days: partitions need no column of their own, the
-- primary key holds over all of them, and a time range is a range of the key. No foreign keys: a row is true even if its prompt
-- is gone, and the fast path must not look anything up.
create table calls (
    call_id uuid not null,
    attempt smallint not null,
    -- 1 interrupted, 2 final; it only rises.
    state smallint not null,
    application_id uuid,
    key_id uuid,
    request_id text not null,
    door text not null,
    prompt_id uuid,
    prompt text collate "C",
    version integer,
    alias text collate "C",
    variant text collate "C",
    content_hash text collate "C",
    generation bigint,
    stream boolean not null,
    requested_model text,
    provider text collate "C",
    model text,
    outcome text collate "C" not null,
    status smallint not null,
    finish_reason text,
    input_tokens bigint,
    cached_tokens bigint,
    output_tokens bigint,
    reasoning_tokens bigint,
    usage_source text collate "C",
    -- Nano-dollars; null is unknown.
    cost_nano bigint,
    cost_status text collate "C",
    price_version text collate "C",
    -- Microseconds.
    latency_us bigint not null,
    first_byte_us bigint,
    upstream_us bigint,
    attempts smallint not null,
    "user" text,
    session text,
    tags text[] not null,
    guard text,
    error text,
    primary key (call_id, attempt)
) partition by range (call_id);

create index calls_by_application on calls (application_id, call_id desc);
create index calls_by_prompt on calls (application_id, prompt, call_id desc) where prompt is not null;

-- Rows of days without a partition: nothing is lost, and they move when the day's partition is made.
create table calls_default partition of calls default;

-- Rows that calls refuses for what is in them: a NUL in a text, a number beyond 64 bits. json, because it takes any text.
create table calls_dead_letter (
    call_id text not null,
    attempt integer not null,
    record json not null,
    error text not null,
    at timestamptz not null default now(),
    primary key (call_id, attempt)
);

-- Make the partition ``name`` for call ids in [low, high), unless it is there; true if it was made now. Attaching a table that was
-- filled beforehand lets other writers go on; "partition of" would lock the whole ledger. The lock on the default partition, short
-- because it is nearly empty, keeps rows of the range from slipping in between the move and the attachment.
create function calls_add_partition(name text, low uuid, high uuid) returns boolean language plpgsql as $$
begin
    -- One at a time; the query below then sees what the one before has committed (to_regclass might remember that it was not there).
    perform pg_advisory_xact_lock(hashtextextended('calls_add_partition', 0));
    if exists (select from pg_inherits i join pg_class c on c.oid = i.inhrelid where i.inhparent = 'calls'::regclass and c.relname = name)
    then
        return false;
    end if;
    execute format('create table %I (like calls including defaults including constraints)', name);
    lock table calls_default in access exclusive mode;
    execute format(
        'with moved as (delete from calls_default where call_id >= $1 and call_id < $2 returning *) insert into %I select * from moved',
        name
    ) using low, high;
    execute format('alter table calls attach partition %I for values from (%L) to (%L)', name, low, high);
    return true;
end $$;
