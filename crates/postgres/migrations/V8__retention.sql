-- Retention: what is left of pruned tasks, the record of anchors, and named cursors of followers.

-- Anchors as they were made, without their lines: those to verify against, and those that tasks were pruned behind.
create table tenure.anchors (
    no bigint generated always as identity primary key,
    purpose text not null check (purpose in ('audit', 'prune')),
    cursor text not null,
    root bytea not null,
    lines bigint not null,
    at bigint not null,
    by text not null
);

-- The ids and saga ids of pruned tasks stay taken, in `names`, and the head of each history stays known.
create table tenure.pruned (
    namespace text collate "C" not null,
    id text collate "C" not null,
    saga_id text collate "C" not null,
    number bigint not null,
    head bytea not null,
    state text not null,
    finished_at bigint not null,
    pruned_at bigint not null,
    anchor bigint not null,
    primary key (namespace, id)
);

create index pruned_by_anchor on tenure.pruned (anchor, namespace, id);

-- Where followers are in the history. Nothing is pruned that one of them has not seen.
create table tenure.followers (
    namespace text collate "C" not null,
    name text collate "C" not null,
    feed bigint not null,
    "order" bigint not null,
    moved_at bigint not null,
    moved_by text not null,
    primary key (namespace, name)
);

create trigger anchors_stay before update or delete on tenure.anchors for each row
    execute function tenure.refuse('the record of an anchor neither changes nor goes');
create trigger anchors_are_not_emptied before truncate on tenure.anchors for each statement
    execute function tenure.refuse('the record of an anchor neither changes nor goes');
create trigger pruned_tasks_stay before update or delete on tenure.pruned for each row
    execute function tenure.refuse('the record of a pruned task neither changes nor goes');
create trigger pruned_tasks_are_not_emptied before truncate on tenure.pruned for each statement
    execute function tenure.refuse('the record of a pruned task neither changes nor goes');

-- As before, except for the prune command: its transaction has a setting that says so, and each task that goes is recorded first,
-- with the head that it has.

create function tenure.refuse_unless_the_task_is_pruned() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    if current_setting('tenure_commands.pruning', true) is not distinct from 'on' and exists (
        select 1 from tenure.pruned where pruned.namespace = old.namespace and pruned.id = old.id and pruned.head = old.head
    ) then
        return old;
    end if;
    raise exception 'tenure: %', tg_argv[0] using errcode = 'TN003';
end
$$;

-- The same of what belongs to a task.
create function tenure.refuse_unless_its_task_is_pruned() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    if current_setting('tenure_commands.pruning', true) is not distinct from 'on' and exists (
        select 1 from tenure.pruned where pruned.namespace = old.namespace and pruned.id = old.task
    ) then
        return old;
    end if;
    raise exception 'tenure: %', tg_argv[0] using errcode = 'TN003';
end
$$;

-- In the order in which transactions lock them: others may be at work.
lock table tenure.tasks, tenure.compensations, tenure.checkpoints, tenure.events in access exclusive mode;

drop trigger tasks_stay on tenure.tasks;
create trigger tasks_stay before delete on tenure.tasks for each row
    execute function tenure.refuse_unless_the_task_is_pruned('a task is not deleted');
drop trigger compensations_stay on tenure.compensations;
create trigger compensations_stay before delete on tenure.compensations for each row
    execute function tenure.refuse_unless_its_task_is_pruned('a compensation is not deleted');
drop trigger checkpoints_stay on tenure.checkpoints;
create trigger checkpoints_stay before delete on tenure.checkpoints for each row
    execute function tenure.refuse_unless_its_task_is_pruned('a checkpoint is not deleted');
drop trigger events_stay on tenure.events;
create trigger events_stay before update on tenure.events for each row
    execute function tenure.refuse('an event neither changes nor goes');
create trigger events_are_kept before delete on tenure.events for each row
    execute function tenure.refuse_unless_its_task_is_pruned('an event neither changes nor goes');
