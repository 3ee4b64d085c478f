-- A row is looked at when it is written, and not when its statement ends: the server then keeps no copy of the rows for that.
-- The setting is what Tenure's own transactions have. Each of their statements makes the same look itself, on the rows that it
-- has locked, so they need no second one. Whoever writes with another program has the guard.

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
