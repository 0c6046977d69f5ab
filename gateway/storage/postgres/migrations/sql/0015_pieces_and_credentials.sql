-- What is billed by the piece (gateway/core/events.py, Usage.characters and Usage.picture): characters of a text read aloud, and the size and
-- quality of pictures. Which stored key of a provider account an attempt went out with. Null in older rows: unknown. Adding columns without
-- a default rewrites nothing, and the partitions follow.
alter table calls
    add column characters bigint,
    add column picture text collate "C",
    add column credential_id uuid;

-- The newest day of an attempt by it that has reached the ledger; a day, so that a busy key is written once a day.
alter table provider_credentials add column last_used_on date;
