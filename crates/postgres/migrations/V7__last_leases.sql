-- Who held a task last, how long recovery leaves a lapsed task to other owners, who undid something by hand, and the queue of
-- what somebody holds.

-- In the order in which transactions lock them: others may be at work.
lock table tenure.tasks, tenure.due, tenure.compensations in access exclusive mode;

alter table tenure.tasks add column last_owner text;
alter table tenure.tasks add column last_epoch bigint;
alter table tenure.tasks add column last_since bigint;
alter table tenure.tasks add column last_until bigint;
alter table tenure.due add column recover_after bigint;
alter table tenure.compensations add column settled_by text;

update tenure.due set queue = tasks.queue from tenure.tasks
    where tasks.namespace = due.namespace and tasks.id = due.task and due.owner is not null;

-- The newest attempt whose lease has ended, as the events tell it: what ended a lease carries the lease, and what was granted in
-- its place says that it had lapsed.
update tenure.tasks set (last_owner, last_epoch, last_since, last_until) = (
    select began.data::json ->> 'owner', (began.data::json ->> 'epoch')::bigint, began.at,
        greatest(began.at, least(ended.at, (extract(epoch from ended.expires_at::timestamptz) * 1000000)::bigint))
    from (
        select number, at, coalesce(data::json #>> '{lease,epoch}', data::json #>> '{lapsed,epoch}') as epoch,
            coalesce(data::json #>> '{lease,expires_at}', data::json #>> '{lapsed,expires_at}') as expires_at
        from tenure.events where events.namespace = tasks.namespace and events.task = tasks.id
    ) as ended join tenure.events as began on began.namespace = tasks.namespace and began.task = tasks.id
        and began.type = 'acquired' and began.data::json ->> 'epoch' = ended.epoch and began.number < ended.number
    where ended.epoch is not null
    order by began.number desc, ended.number limit 1
) where started_at is not null;

-- As before, and what is recorded of the last lease stays, too.
create or replace function tenure.refuse_what_no_task_can_be() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    if tg_op = 'UPDATE' then
        if new.namespace <> old.namespace or new.id <> old.id or new.saga_id <> old.saga_id or new.no <> old.no then
            raise exception 'tenure: the names of a task never change' using errcode = 'TN003';
        end if;
        if old.finished_at is not null and (new.state is distinct from old.state or new.cause is distinct from old.cause
            or new.queue is distinct from old.queue or new.kind is distinct from old.kind
            or new.priority is distinct from old.priority or new.not_before is distinct from old.not_before
            or new.labels is distinct from old.labels or new.payload is distinct from old.payload
            or new.policy is distinct from old.policy or new.attempts is distinct from old.attempts
            or new.epoch is distinct from old.epoch or new.owed is distinct from old.owed
            or new.compensations is distinct from old.compensations or new.unwinding is distinct from old.unwinding
            or new.unwinding_reason is distinct from old.unwinding_reason
            or new.cancel_at is distinct from old.cancel_at or new.cancel_by is distinct from old.cancel_by
            or new.cancel_reason is distinct from old.cancel_reason or new.result is distinct from old.result
            or new.retry_of is distinct from old.retry_of or new.created_at is distinct from old.created_at
            or new.started_at is distinct from old.started_at or new.finished_at is distinct from old.finished_at
            or new.last_owner is distinct from old.last_owner or new.last_epoch is distinct from old.last_epoch
            or new.last_since is distinct from old.last_since or new.last_until is distinct from old.last_until) then
            raise exception 'tenure: a terminal task does not change' using errcode = 'TN003';
        end if;
    end if;
    if new.state not in ('planned', 'dispatched', 'running', 'compensating', 'completed', 'failed', 'compensated',
            'quarantined')
        or (new.finished_at is not null) <> (new.state in ('completed', 'failed', 'compensated', 'quarantined')) then
        raise exception 'tenure: a task has one of eight states, and a time of its end exactly if that is terminal'
            using errcode = 'TN003';
    end if;
    -- What indexes look at follows from the rest.
    new.claim_from := case when new.state = 'planned' then coalesce(new.not_before, new.created_at) end;
    new.ended_badly := case when new.state in ('failed', 'compensated', 'quarantined') then new.state end;
    return new;
end
$$;

-- As before, and a policy may have recover_after and on_failure, and leave a lapsed task to either.
create or replace function tenure.must_be_policy(policy json) returns void language plpgsql strict
set search_path = pg_catalog, pg_temp as $$
declare
    backoff json;
    wrong record;
begin
    if json_typeof(policy) = 'null' or policy::text = '{}' then
        return;
    end if;
    perform tenure.must_be_json('policy', policy, 262144, 3);
    perform tenure.must_be('policy', json_typeof(policy) = 'object',
        'an object, such as {"max_attempts": 3}');
    backoff := case json_typeof(policy -> 'backoff') when 'null' then null else policy -> 'backoff' end;
    perform tenure.must_be('policy.backoff', backoff is null or json_typeof(backoff) = 'object',
        'an object of base, factor and cap');
    select given.place || left(given.key, 100) as field, coalesce(known.takes,
        'there is no such field; a policy has lease_ttl, max_attempts, on_lapse, recover_after, on_failure, when_spent, '
        'stall_after, time_limit, start_within, lock_delay, cancel_grace, and backoff of base, factor and cap') as takes
    into wrong
    from (
        select 'policy.' as place, key, value from json_each(policy) where key <> 'backoff'
        union all
        select 'policy.backoff.', key, value from json_each(backoff)
    ) as given left join (values
        ('policy.', 'lease_ttl', 'length', 1, 604800, 'a length of 1s to 7d, such as 90s or 5m'),
        ('policy.', 'max_attempts', 'number', 1, 4294967295, 'a whole number, 1 to 4294967295'),
        ('policy.', 'on_lapse', 'on_lapse', null, null, 'one of recover, hold, quarantine, either'),
        ('policy.', 'recover_after', 'length', 0, 315360000, 'a length of up to 3650d, such as 500ms or 2s'),
        ('policy.', 'on_failure', 'on_failure', null, null, 'one of fail, quarantine'),
        ('policy.', 'when_spent', 'when_spent', null, null, 'one of compensated, quarantined'),
        ('policy.backoff.', 'base', 'length', 0, 315360000, 'a length of up to 3650d, such as 500ms or 2s'),
        ('policy.backoff.', 'factor', 'number', 1, 100, 'a whole number, 1 to 100'),
        ('policy.backoff.', 'cap', 'length', 0, 315360000, 'a length of up to 3650d, such as 90s or 5m'),
        ('policy.', 'stall_after', 'length', 1, 315360000, 'a length of 1s to 3650d, such as 90s or 5m'),
        ('policy.', 'time_limit', 'length', 1, 315360000, 'a length of 1s to 3650d, such as 5m or 2h'),
        ('policy.', 'start_within', 'length', 1, 315360000, 'a length of 1s to 3650d, such as 2h or 1d'),
        ('policy.', 'lock_delay', 'length', 0, 315360000, 'a length of up to 3650d, such as 500ms or 2s'),
        ('policy.', 'cancel_grace', 'length', 1, 315360000, 'a length of 1s to 3650d, such as 90s or 5m')
    ) as known (place, key, shape, least, most, takes) on known.place = given.place and known.key = given.key
    -- Nothing but a text reads as a length or a word, and nothing but a number as digits without quotes.
    where known.key is null or json_typeof(given.value) <> 'null' and case known.shape
        when 'length' then
            tenure.micros(given.value #>> '{}') between known.least * 1000000 and known.most * 1000000
        when 'number' then
            substring(given.value::text from '^[0-9]{1,10}$')::bigint between known.least and known.most
        when 'on_lapse' then given.value #>> '{}' in ('recover', 'hold', 'quarantine', 'either')
        when 'on_failure' then given.value #>> '{}' in ('fail', 'quarantine')
        when 'when_spent' then given.value #>> '{}' in ('compensated', 'quarantined')
    end is not true
    limit 1;
    perform tenure.must_be(wrong.field, wrong.field is null, wrong.takes);
    perform tenure.must_be('policy.recover_after',
        policy ->> 'recover_after' is null or policy ->> 'on_lapse' is not distinct from 'either',
        'allowed only with on_lapse `either`');
end
$$;
