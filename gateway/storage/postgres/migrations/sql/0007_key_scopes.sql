-- What a key may do, how long its kind lives, and what became of it. Null lists withhold nothing; an empty one withholds everything.
alter table api_keys
    -- Names of scopes (gateway/core/grants.py, SCOPES).
    add column scopes text[] check (cardinality(scopes) > 0),
    -- Patterns of prompt references, and of the models and routes that callers may ask for themselves.
    add column prompts text[],
    add column models text[],
    -- The life that the key was made for; its successor gets the same. expires_at may come earlier: a rotation ends a key.
    add column lifetime_seconds bigint check (lifetime_seconds > 0),
    -- The key that took its place.
    add column replaced_by uuid references api_keys,
    -- The newest day (UTC) of a call by it; the ledger's writer moves it once per key, day and worker.
    add column last_used_on date;

-- Keys that end: their life as far as it can be told. A key that a rotation has cut short seems to have been made for less.
update api_keys
set lifetime_seconds = greatest(1, extract(epoch from expires_at - created_at)::bigint) where expires_at is not null;
