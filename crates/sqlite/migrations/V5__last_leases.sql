-- Who held a task last, how long recovery leaves a lapsed task to other owners, who undid something by hand, and the queue of
-- what somebody holds.

alter table tasks add column last_owner text;
alter table tasks add column last_epoch integer;
alter table tasks add column last_since integer;
alter table tasks add column last_until integer;
alter table due add column recover_after integer;
alter table compensations add column settled_by text;

update due set queue = (select tasks.queue from tasks where tasks.no = due.task) where owner is not null;

-- The newest attempt whose lease has ended, as the events tell it: what ended a lease carries the lease, and what was granted in
-- its place says that it had lapsed.
update tasks set (last_owner, last_epoch, last_since, last_until) = (
    select json_extract(began.data, '$.owner'), json_extract(began.data, '$.epoch'), began.at,
        max(began.at, min(ended.at, unixepoch(substr(ended.expires_at, 1, 19)) * 1000000
            + cast(substr(ended.expires_at, 21, 6) as integer)))
    from (
        select number, at, coalesce(json_extract(data, '$.lease.epoch'), json_extract(data, '$.lapsed.epoch')) as epoch,
            coalesce(json_extract(data, '$.lease.expires_at'), json_extract(data, '$.lapsed.expires_at')) as expires_at
        from events where task = tasks.no
    ) as ended join events as began on began.task = tasks.no and began.type = 'acquired'
        and json_extract(began.data, '$.epoch') = ended.epoch and began.number < ended.number
    where ended.epoch is not null
    order by began.number desc, ended.number limit 1
) where started_at is not null;

drop trigger tasks_that_ended_stay;
create trigger tasks_that_ended_stay before update on tasks
when old.finished_at is not null and (
    new.state is not old.state or new.cause is not old.cause or new.queue is not old.queue
    or new.kind is not old.kind or new.priority is not old.priority or new.not_before is not old.not_before
    or new.labels is not old.labels or new.payload is not old.payload or new.policy is not old.policy
    or new.attempts is not old.attempts or new.epoch is not old.epoch or new.owed is not old.owed
    or new.compensations is not old.compensations or new.unwinding is not old.unwinding
    or new.unwinding_reason is not old.unwinding_reason or new.cancel_at is not old.cancel_at
    or new.cancel_by is not old.cancel_by or new.cancel_reason is not old.cancel_reason
    or new.result is not old.result or new.retry_of is not old.retry_of
    or new.created_at is not old.created_at or new.started_at is not old.started_at
    or new.finished_at is not old.finished_at or new.last_owner is not old.last_owner
    or new.last_epoch is not old.last_epoch or new.last_since is not old.last_since
    or new.last_until is not old.last_until)
begin
    select raise(abort, 'tenure: a terminal task does not change');
end;
