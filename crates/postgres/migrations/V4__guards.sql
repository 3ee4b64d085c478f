-- The guards hold whoever calls them, with whatever program.

-- Operators, casts and functions are found where PostgreSQL has its own, and not where the caller's search path has others by the
-- same names: `is distinct from` asks for an operator, too.
do $$
declare
    one regprocedure;
begin
    for one in
        select oid::regprocedure from pg_catalog.pg_proc
        where pronamespace = (select relnamespace from pg_catalog.pg_class where oid = 'tenure.meta'::regclass)
        -- The schema may have functions of others, too.
        and proname in ('all_of', 'claimable', 'create_task', 'is_id', 'is_name', 'json_problem', 'lock_claimable', 'micros',
            'must_be', 'must_be_compensations', 'must_be_id', 'must_be_json', 'must_be_labels', 'must_be_name', 'must_be_policy',
            'next_priority', 'none_was_faster', 'refuse', 'refuse_for_a_token', 'refuse_for_an_ended_task',
            'refuse_for_the_ended', 'take_in')
    loop
        execute format('alter function %s set search_path = pg_catalog, pg_temp', one);
    end loop;
end
$$;

-- An event that does not continue the history of its task would be shown to nobody, or stop whoever follows: where its feed is
-- ahead of every transaction, what comes later stands in front of it.
create function tenure.refuse_what_continues_no_history() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    own_feed bigint := (select value::bigint from tenure.meta where key = 'feed_base') + pg_current_xact_id()::text::bigint;
begin
    if exists (
        select 1 from written
        left join tenure.tasks on tasks.namespace = written.namespace and tasks.id = written.task
        left join tenure.events as before
            on before.namespace = written.namespace and before.task = written.task and before.number = written.number - 1
        where tasks.id is null or written.number < 1 or written.number > tasks.revision
            or (written.number > 1 and before.number is null)
            or written.feed <> greatest(own_feed, before.feed)
            or (written.number = tasks.revision and (written.hash <> tasks.head or written.feed <> tasks.feed))
    ) then
        raise exception 'tenure: an event continues the history of its task' using errcode = 'TN003';
    end if;
    return null;
end
$$;

create trigger events_continue_a_history after insert on tenure.events
    referencing new table as written for each statement
    execute function tenure.refuse_what_continues_no_history();

-- A check of those who write: nothing is appended to a history that does not end where its task says.
create function tenure.continue_their_histories(other text) returns boolean
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    if other is not null then
        raise exception 'the history of % does not end where the task says, so nothing is appended to it', other
            using errcode = 'TN005';
    end if;
    return true;
end
$$;
