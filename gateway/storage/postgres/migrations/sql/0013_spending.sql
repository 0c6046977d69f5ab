-- What the limits of the application knew of a call (gateway/core/ledger.py): the name that the route table was asked for, and the shadow
-- rules that would have refused it. Null in older rows and where there are no limits. Adding columns without a default rewrites nothing, and
-- the partitions follow.
alter table calls
    add column route text,
    add column shadowed text[];

-- What an application changed last: the generation that its callers are told of.
create index outbox_by_application on outbox (application_id, generation);
