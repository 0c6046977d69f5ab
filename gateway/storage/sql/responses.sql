-- Responses that are kept for the Responses API. Every statement names the application first.

-- name: put
-- An id that is there already stays as it is: the caller learns that nothing was written.
insert into stored_responses (application_id, response_id, previous_id, created_at, expires_at, input, body)
values ($1, $2, $3, $4, $5, $6, $7)
on conflict do nothing
returning response_id;

-- name: get
select response_id, previous_id, input, body from stored_responses
where application_id = $1 and response_id = $2 and expires_at > $3;

-- name: chain
-- From the newest backwards, at most $4 responses. It goes on while what it has is below $5 bytes, so that one response above the
-- bound shows that the bound is passed.
with recursive chain as (
    select response_id, previous_id, input, body, 1 as depth, (octet_length(input) + octet_length(body))::bigint as size
    from stored_responses
    where application_id = $1 and response_id = $2 and expires_at > $3
    union all
    select r.response_id, r.previous_id, r.input, r.body, c.depth + 1, c.size + octet_length(r.input) + octet_length(r.body)
    from chain c
    join stored_responses r on r.application_id = $1 and r.response_id = c.previous_id and r.expires_at > $3
    where c.depth < $4 and c.size <= $5
)
select response_id, previous_id, input, body from chain order by depth desc;

-- name: delete
delete from stored_responses where application_id = $1 and response_id = $2 and expires_at > $3 returning response_id;

-- name: sweep
-- A bounded bite, so that no sweep holds its locks for long.
delete from stored_responses where ctid = any(array(
    select ctid from stored_responses where expires_at <= $1 order by expires_at limit $2 for update skip locked
));
