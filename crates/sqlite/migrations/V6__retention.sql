-- Retention: what is left of pruned tasks, the record of anchors, and named cursors of followers.

-- Anchors as they were made, without their lines: those to verify against, and those that tasks were pruned behind.
create table anchors (
    no integer primary key,
    purpose text not null check (purpose = 'audit' or purpose = 'prune'),
    cursor text not null,
    root blob not null,
    lines integer not null,
    at integer not null,
    by text not null
) strict;

-- The ids and saga ids of pruned tasks stay taken, and the head of each history stays known.
create table pruned (
    namespace text not null,
    id text not null,
    saga_id text not null,
    number integer not null,
    head blob not null,
    state text not null,
    finished_at integer not null,
    pruned_at integer not null,
    anchor integer not null,
    primary key (namespace, id)
) strict, without rowid;

create unique index pruned_by_saga on pruned (namespace, saga_id);
create index pruned_by_anchor on pruned (anchor, namespace, id);

-- Where followers are in the history. Nothing is pruned that one of them has not seen.
create table followers (
    namespace text not null,
    name text not null,
    "order" integer not null,
    moved_at integer not null,
    moved_by text not null,
    primary key (namespace, name)
) strict, without rowid;

create trigger anchors_do_not_change before update on anchors
begin
    select raise(abort, 'tenure: the record of an anchor does not change');
end;

create trigger anchors_stay before delete on anchors
begin
    select raise(abort, 'tenure: the record of an anchor is not deleted');
end;

create trigger pruned_tasks_do_not_change before update on pruned
begin
    select raise(abort, 'tenure: the record of a pruned task does not change');
end;

create trigger pruned_tasks_stay before delete on pruned
begin
    select raise(abort, 'tenure: the names of a pruned task stay taken');
end;

create trigger pruned_tasks_are_not_replaced before insert on pruned
when exists (select 1 from pruned where namespace = new.namespace and id = new.id)
    or exists (select 1 from pruned where namespace = new.namespace and saga_id = new.saga_id)
begin
    select raise(abort, 'tenure: the record of a pruned task is not replaced');
end;

create trigger pruned_tasks_are_not_made_again before insert on tasks
when exists (select 1 from pruned where namespace = new.namespace and id = new.id)
    or exists (select 1 from pruned where namespace = new.namespace and saga_id = new.saga_id)
begin
    select raise(abort, 'tenure: the names of a pruned task stay taken');
end;

-- As before, except for the prune command: within its transaction `meta` says so, and each task that goes is recorded first, with
-- the head that it has.

drop trigger tasks_stay;
create trigger tasks_stay before delete on tasks
when not exists (select 1 from meta where key = 'pruning')
    or not exists (select 1 from pruned where namespace = old.namespace and id = old.id and head = old.head)
begin
    select raise(abort, 'tenure: a task is not deleted');
end;

drop trigger compensations_stay;
create trigger compensations_stay before delete on compensations
when not exists (select 1 from meta where key = 'pruning')
    or not exists (select 1 from tasks join pruned on pruned.namespace = tasks.namespace and pruned.id = tasks.id
        where tasks.no = old.task)
begin
    select raise(abort, 'tenure: a compensation is not deleted');
end;

drop trigger checkpoints_stay;
create trigger checkpoints_stay before delete on checkpoints
when not exists (select 1 from meta where key = 'pruning')
    or not exists (select 1 from tasks join pruned on pruned.namespace = tasks.namespace and pruned.id = tasks.id
        where tasks.no = old.task)
begin
    select raise(abort, 'tenure: a checkpoint is not deleted');
end;

drop trigger events_stay;
create trigger events_stay before delete on events
when not exists (select 1 from meta where key = 'pruning')
    or not exists (select 1 from tasks join pruned on pruned.namespace = tasks.namespace and pruned.id = tasks.id
        where tasks.no = old.task)
begin
    select raise(abort, 'tenure: an event is not deleted');
end;
