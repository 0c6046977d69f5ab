-- Sound that is billed by its length (gateway/core/events.py, Usage.audio_ms): milliseconds. Null in older rows: unknown. Adding a
-- column without a default rewrites nothing, and the partitions follow.
alter table calls add column audio_ms bigint;
