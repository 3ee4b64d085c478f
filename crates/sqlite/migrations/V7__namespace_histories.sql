-- The histories of namespaces themselves: what happened in one, and to none of its tasks. The column `task` of their events is the
-- number here, which is below 0, as no task's is.

create table namespace_histories (
    no integer primary key check (no < 0),
    namespace text not null unique,
    number integer not null,
    head blob not null,
    updated_at integer not null
) strict;

create trigger namespace_histories_go_on before update on namespace_histories
when new.no is not old.no or new.namespace is not old.namespace or new.number is not old.number + 1
begin
    select raise(abort, 'tenure: the history of a namespace only goes on');
end;

create trigger namespace_histories_stay before delete on namespace_histories
begin
    select raise(abort, 'tenure: the history of a namespace is not deleted');
end;

create trigger namespace_histories_are_not_replaced before insert on namespace_histories
when exists (select 1 from namespace_histories where no = new.no or namespace = new.namespace)
begin
    select raise(abort, 'tenure: the history of a namespace is not replaced');
end;
