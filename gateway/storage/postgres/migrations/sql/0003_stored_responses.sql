-- Responses that an application lets the gateway keep, for previous_response_id and for reading them back. Off by default.
alter table applications add column store_responses boolean not null default false;

-- The tenant comes first in the key: no question can be asked without it. Rows are written once and never changed, and a response
-- can only continue one that was there before it, so chains have no loops.
create table stored_responses (
    application_id uuid not null references applications,
    response_id text collate "C" not null,
    previous_id text collate "C",
    created_at timestamptz not null,
    expires_at timestamptz not null,
    -- What the turn added, as a JSON list of items, and the response object: bytes as they were, for they hold what callers and
    -- models said, and jsonb refuses some of it (a NUL in a text).
    input bytea not null,
    body bytea not null,
    primary key (application_id, response_id)
);
create index stored_responses_by_end on stored_responses (expires_at);
