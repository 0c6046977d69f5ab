-- The trace that a call is part of (gateway/core/trace.py): 32 hex digits, null for calls without one and in older rows. Adding a
-- column without a default rewrites nothing, and the partitions follow.
alter table calls add column trace_id text collate "C";

-- Who has a trace from another service's logs asks for its calls without knowing their day. Most calls have none, and cost the index
-- nothing. Building it reads each partition once; the ledger's writers wait for that in their spools.
create index calls_by_trace on calls (trace_id, call_id desc) where trace_id is not null;
