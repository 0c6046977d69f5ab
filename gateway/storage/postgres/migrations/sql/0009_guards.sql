-- Guardrails of a whole application (gateway/core/documents.py, Guardrails): they judge every call of it, before those of a version.
-- Null: it has none.
alter table applications add column guardrails jsonb;

-- What guards found in a call, one text for each (gateway/core/notes.py says the grammar). Null in older rows: unknown; empty:
-- nothing was found. Adding a column without a default rewrites nothing, and the partitions follow.
alter table calls add column verdicts text[];
