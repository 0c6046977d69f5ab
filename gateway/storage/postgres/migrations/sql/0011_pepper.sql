-- Digests of API keys may have a pepper, a secret of the server: HMAC-SHA-256 instead of SHA-256.

-- The mark of the pepper in the digest, eight hex digits that tell an installation's peppers apart; null: a plain SHA-256.
alter table api_keys add column pepper text collate "C" check (pepper ~ '^[0-9a-f]{8}$');
comment on column api_keys.digest is 'SHA-256 of the key, or HMAC-SHA-256 with the pepper that is marked';
