-- How many tasks ended how, who was told to stop and did not, and which ends a person has dismissed.

-- Notes on an end: they are no part of what happened, so the guard of ended tasks lets them through.
alter table tasks add column dismissed_at integer;
alter table tasks add column dismissed_by text;
alter table tasks add column dismissed_note text;

-- A copy of the policy's limit, and what heartbeats write once a cancel is asked.
alter table due add column cancel_grace integer;
alter table due add column cancel_told integer;
alter table due add column cancel_told_at integer;

-- Ends are counted as they happen, since there may be millions of them: in all under the minute 0, and of the last day
-- by the minute, in minutes since 1970.
create table ends (
    namespace text not null,
    minute integer not null,
    queue text not null,
    state text not null,
    cause text not null,
    count integer not null,
    primary key (namespace, minute, queue, state, cause)
) strict, without rowid;

insert into ends (namespace, minute, queue, state, cause, count)
    select namespace, 0, queue, state, cause, count(*) from tasks where finished_at is not null
    group by namespace, queue, state, cause;
insert into ends (namespace, minute, queue, state, cause, count)
    select namespace, finished_at / 60000000, queue, state, cause, count(*) from tasks
    where finished_at > (select at from events order by "order" desc limit 1) - 90000000000
    group by namespace, finished_at / 60000000, queue, state, cause;
