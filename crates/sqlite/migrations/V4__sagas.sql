-- A saga id that is the task's own id is found by that; only the others have an index.

drop index tasks_by_saga;
create unique index tasks_by_saga on tasks (namespace, saga_id) where saga_id <> id;

drop trigger tasks_are_not_replaced;
create trigger tasks_are_not_replaced before insert on tasks
when exists (select 1 from tasks where no = new.no)
    or exists (select 1 from tasks where namespace = new.namespace and id = new.id)
    or exists (select 1 from tasks where namespace = new.namespace and saga_id = new.saga_id and saga_id <> id)
    or exists (select 1 from tasks where namespace = new.namespace and id = new.saga_id and saga_id = id)
begin
    select raise(abort, 'tenure: a task is not replaced');
end;
