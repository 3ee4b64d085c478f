-- An event is looked at when it is written, and not when its statement ends: the server then keeps no copy of the rows for that.
-- The setting is what Tenure's own transactions have. They make the same look themselves, so they need no second one. Other
-- programs have the guard.

-- In the order in which transactions lock them: others may be at work.
lock table tenure.tasks, tenure.events in access exclusive mode;

drop trigger events_continue_a_history on tenure.events;
drop function tenure.refuse_what_continues_no_history();

create function tenure.refuse_what_continues_no_history() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    own_feed bigint := (select value::bigint from tenure.meta where key = 'feed_base') + pg_current_xact_id()::text::bigint;
begin
    if not exists (
        select 1 from tenure.tasks
        left join tenure.events as before
            on before.namespace = tasks.namespace and before.task = tasks.id and before.number = new.number - 1
        where tasks.namespace = new.namespace and tasks.id = new.task
            and new.number between 1 and tasks.revision
            and (new.number = 1 or before.number is not null)
            and new.feed = greatest(own_feed, before.feed)
            and (new.number < tasks.revision or (new.hash = tasks.head and new.feed = tasks.feed))
    ) then
        raise exception 'tenure: an event continues the history of its task' using errcode = 'TN003';
    end if;
    return null;
end
$$;

create trigger events_continue_a_history after insert on tenure.events for each row
    when (current_setting('tenure_commands.look_themselves', true) is distinct from 'on')
    execute function tenure.refuse_what_continues_no_history();

-- The same for the rows of tasks: one guard, which Tenure's own transactions need not pass. Constraints, generated columns and
-- conditions of triggers are read anew for every statement, which cost a statement that writes few rows a third of its time.

alter table tenure.tasks drop constraint tasks_state_check, drop constraint tasks_check;
alter table tenure.tasks alter column claim_from drop expression, alter column ended_badly drop expression;
drop trigger tasks_keep_their_names on tenure.tasks;
drop trigger tasks_that_ended_stay on tenure.tasks;
drop function tenure.refuse_for_an_ended_task();

create function tenure.refuse_what_no_task_can_be() returns trigger
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
            or new.started_at is distinct from old.started_at or new.finished_at is distinct from old.finished_at) then
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

create trigger tasks_are_guarded before insert or update on tenure.tasks for each row
    when (current_setting('tenure_commands.look_themselves', true) is distinct from 'on')
    execute function tenure.refuse_what_no_task_can_be();
