-- Sums of the ledger by hours and days (gateway/limits/spans.py): what limits are made from anew when Redis has lost their counters. What an
-- application's callers are told of its changes. And which keys a key took the place of.

-- An hour or a day of the ledger. The version rises with each row that lands when the span is over, and with each that is changed; the sums
-- of the span are true if they were made at the present version.
create table call_spans (
    grain text collate "C" not null check (grain in ('hour', 'day')),
    -- Milliseconds since the epoch.
    start_ms bigint not null,
    version integer not null default 0,
    -- The version that was summed up; null: none was.
    summed integer,
    primary key (grain, start_ms)
);

-- What the calls of an application used in a span, by the values of a scope (gateway/core/limits.py). There are rows for the scopes in which
-- the application had a limit of a day or a month when the span was summed up. No foreign keys, as in calls.
create table call_sums (
    application_id uuid not null,
    scope text collate "C" not null,
    grain text collate "C" not null,
    start_ms bigint not null,
    value text collate "C" not null,
    requests bigint not null,
    input_tokens bigint not null,
    output_tokens bigint not null,
    cost_nano bigint not null,
    primary key (application_id, scope, grain, start_ms, value)
);
-- For the days from their hours, and for what is old enough to go.
create index call_sums_by_span on call_sums (grain, start_ms);

-- The application's own count of changes of what it is served: it goes on from the number that its callers were told last, so that it still
-- only rises, and by one each time.
alter table applications add column generation bigint not null default 0;
update applications a set generation = moved.last
from (select application_id, max(generation) as last from outbox group by application_id) as moved where moved.application_id = a.id;
-- It was for that number alone.
drop index outbox_by_application;

-- The public ids of the keys that a key took the place of, the first one first: limits of keys go on with their successors.
alter table api_keys add column ancestors text[] not null default '{}';
