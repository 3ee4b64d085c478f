-- The histories of namespaces themselves: what happened in one, and to none of its tasks. The column `task` of their events is
-- empty, as no task's id is.

create table tenure.namespace_histories (
    namespace text collate "C" primary key,
    number bigint not null,
    head bytea not null,
    updated_at bigint not null,
    -- That of its newest event, see `events`.
    feed bigint not null
);

create trigger namespace_histories_go_on before update on tenure.namespace_histories for each row
    when (new.namespace <> old.namespace or new.number <= old.number)
    execute function tenure.refuse('the history of a namespace only goes on');
create trigger namespace_histories_stay before delete on tenure.namespace_histories for each row
    execute function tenure.refuse('the history of a namespace is not deleted');
create trigger namespace_histories_are_not_emptied before truncate on tenure.namespace_histories for each statement
    execute function tenure.refuse('the history of a namespace is not deleted');

-- As before, and an event without a task continues the history of its namespace.
create or replace function tenure.refuse_what_continues_no_history() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    own_feed bigint := (select value::bigint from tenure.meta where key = 'feed_base') + pg_current_xact_id()::text::bigint;
begin
    if not exists (
        select 1 from (
            select tasks.revision as number, tasks.head, tasks.feed from tenure.tasks
            where tasks.namespace = new.namespace and tasks.id = new.task
            union all
            select histories.number, histories.head, histories.feed from tenure.namespace_histories as histories
            where histories.namespace = new.namespace and new.task = ''
        ) as newest
        left join tenure.events as before
            on before.namespace = new.namespace and before.task = new.task and before.number = new.number - 1
        where new.number between 1 and newest.number
            and (new.number = 1 or before.number is not null)
            and new.feed = greatest(own_feed, before.feed)
            and (new.number < newest.number or (new.hash = newest.head and new.feed = newest.feed))
    ) then
        raise exception 'tenure: an event continues the history of its task' using errcode = 'TN003';
    end if;
    return null;
end
$$;
