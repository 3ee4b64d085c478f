-- How many tasks ended how, who was told to stop and did not, and which ends a person has dismissed.

-- Notes on an end: they are no part of what happened, so the guard of ended tasks lets them through.
alter table tenure.tasks add column dismissed_at bigint;
alter table tenure.tasks add column dismissed_by text;
alter table tenure.tasks add column dismissed_note text;

-- A copy of the policy's limit, and what heartbeats write once a cancel is asked.
alter table tenure.due add column cancel_grace bigint;
alter table tenure.due add column cancel_told bigint;
alter table tenure.due add column cancel_told_at bigint;

-- Ends are counted as they happen, since there may be millions of them: in all under the minute 0, and of the last day
-- by the minute, in minutes since 1970. Each count is the sum over a few shards, so that writers don't wait for one another.
create table tenure.ends (
    namespace text collate "C" not null,
    minute bigint not null,
    queue text collate "C" not null,
    state text not null,
    cause text not null,
    shard bigint not null,
    count bigint not null,
    primary key (namespace, minute, queue, state, cause, shard)
) with (fillfactor = 50);

insert into tenure.ends (namespace, minute, queue, state, cause, shard, count)
    select namespace, 0, queue, state, cause, 0, count(*) from tenure.tasks where finished_at is not null
    group by namespace, queue, state, cause;
insert into tenure.ends (namespace, minute, queue, state, cause, shard, count)
    select namespace, finished_at / 60000000, queue, state, cause, 0, count(*) from tenure.tasks
    where finished_at > (extract(epoch from clock_timestamp()) * 1000000)::bigint - 90000000000
    group by namespace, finished_at / 60000000, queue, state, cause;

-- As before, and a policy may have cancel_grace.
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
        'there is no such field; a policy has lease_ttl, max_attempts, on_lapse, when_spent, stall_after, '
        'time_limit, start_within, lock_delay, cancel_grace, and backoff of base, factor and cap') as takes
    into wrong
    from (
        select 'policy.' as place, key, value from json_each(policy) where key <> 'backoff'
        union all
        select 'policy.backoff.', key, value from json_each(backoff)
    ) as given left join (values
        ('policy.', 'lease_ttl', 'length', 1, 604800, 'a length of 1s to 7d, such as 90s or 5m'),
        ('policy.', 'max_attempts', 'number', 1, 4294967295, 'a whole number, 1 to 4294967295'),
        ('policy.', 'on_lapse', 'on_lapse', null, null, 'one of recover, hold, quarantine'),
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
        when 'on_lapse' then given.value #>> '{}' in ('recover', 'hold', 'quarantine')
        when 'when_spent' then given.value #>> '{}' in ('compensated', 'quarantined')
    end is not true
    limit 1;
    perform tenure.must_be(wrong.field, wrong.field is null, wrong.takes);
end
$$;
