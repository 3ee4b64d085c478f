-- The ledger: tasks, what they wait for, how to undo them, and their history.
-- JSON is canonical text. Times are microseconds since 1970 in UTC. Names and columns are public.
-- Conditions that every write evaluates are chains of `or`: for an `in` of three or more SQLite builds a table each time.

create table meta (
    key text primary key,
    value text not null
) strict, without rowid;

create table tasks (
    no integer primary key,
    namespace text not null,
    id text not null,
    saga_id text not null,
    queue text not null,
    kind text not null,
    state text not null check (state = 'planned' or state = 'dispatched' or state = 'running'
        or state = 'compensating' or state = 'completed' or state = 'failed' or state = 'compensated'
        or state = 'quarantined'),
    cause text,
    priority integer not null,
    not_before integer,
    labels text not null,
    payload text not null,
    policy text not null,
    attempts integer not null,
    epoch integer not null,
    revision integer not null,
    owed integer not null,
    compensations integer not null,
    unwinding text,
    unwinding_reason text,
    cancel_at integer,
    cancel_by text,
    cancel_reason text,
    terminal_reason text,
    result text,
    retried_as text,
    retry_of text,
    created_at integer not null,
    updated_at integer not null,
    started_at integer,
    finished_at integer,
    head blob not null,
    -- Whether a task is terminal is asked below by whether it has an end: that is one look.
    check ((finished_at is not null)
        = (state = 'completed' or state = 'failed' or state = 'compensated' or state = 'quarantined'))
) strict;

create unique index tasks_by_id on tasks (namespace, id);
create unique index tasks_by_saga on tasks (namespace, saga_id);
-- Lists go by age within a namespace.
create index tasks_by_age on tasks (namespace, no);
-- Claims: the next planned ones. Terminal tasks are in no hot index.
create index tasks_to_claim on tasks (namespace, queue, priority, coalesce(not_before, created_at), no)
    where state = 'planned';
-- What a person must look at, and what was undone: few, and looked for among many.
create index tasks_ended_badly on tasks (namespace, state, no)
    where finished_at is not null and state <> 'completed';

-- What a task that is not terminal waits for. A heartbeat writes this row alone, and no index.
create table due (
    task integer primary key,
    wait text not null check (wait = 'lease' or wait = 'undo_lease' or wait = 'reservation' or wait = 'undo'
        or wait = 'start'),
    namespace text not null,
    queue text,
    owner text,
    granted_to text,
    epoch integer,
    ttl integer,
    since integer,
    heartbeat_at integer,
    progressed_at integer,
    expires_at integer not null,
    check_at integer not null,
    progress text,
    cancel_asked integer not null,
    stall_after integer,
    time_limit integer,
    lock_delay integer,
    held_back integer not null
) strict;

-- What recovery looks for, and what only stale lists look for.
create index due_to_check on due (check_at) where held_back = 0;
create index due_held_back on due (check_at) where held_back = 1;
create index due_reservations on due (namespace, queue, expires_at) where wait = 'reservation';

create table checkpoints (
    task integer primary key,
    checkpoint text not null
) strict;

create table compensations (
    task integer not null,
    seq integer not null,
    kind text not null,
    target text not null,
    reason text,
    registered text not null check (registered = 'before_lease' or registered = 'under_lease'),
    status text not null check (status = 'standing' or status = 'owed' or status = 'done' or status = 'waived'
        or status = 'void'),
    epoch integer,
    key text,
    tries integer not null,
    receipt text,
    last_error text,
    waiver text,
    primary key (task, seq)
) strict, without rowid;

create table events (
    "order" integer primary key,
    task integer not null,
    number integer not null,
    at integer not null,
    actor text not null,
    type text not null,
    data text not null,
    hash blob not null
) strict;

create unique index events_by_task on events (task, number);

create table requests (
    namespace text not null,
    id text not null,
    digest blob not null,
    actor text not null,
    at integer not null,
    answered text not null,
    primary key (namespace, id)
) strict, without rowid;

create index requests_by_age on requests (at);

-- The database guards itself, whoever opens it and with whatever program.

create trigger tasks_keep_their_names before update on tasks
when new.no is not old.no or new.namespace is not old.namespace or new.id is not old.id
    or new.saga_id is not old.saga_id
begin
    select raise(abort, 'tenure: the names of a task never change');
end;

create trigger tasks_that_ended_stay before update on tasks
when old.finished_at is not null and (
    new.state is not old.state or new.cause is not old.cause or new.queue is not old.queue
    or new.kind is not old.kind or new.priority is not old.priority or new.not_before is not old.not_before
    or new.labels is not old.labels or new.payload is not old.payload or new.policy is not old.policy
    or new.attempts is not old.attempts or new.epoch is not old.epoch or new.owed is not old.owed
    or new.compensations is not old.compensations or new.unwinding is not old.unwinding
    or new.unwinding_reason is not old.unwinding_reason or new.cancel_at is not old.cancel_at
    or new.cancel_by is not old.cancel_by or new.cancel_reason is not old.cancel_reason
    or new.result is not old.result or new.retry_of is not old.retry_of
    or new.created_at is not old.created_at or new.started_at is not old.started_at
    or new.finished_at is not old.finished_at)
begin
    select raise(abort, 'tenure: a terminal task does not change');
end;

create trigger tasks_stay before delete on tasks
begin
    select raise(abort, 'tenure: a task is not deleted');
end;

create trigger tasks_are_not_replaced before insert on tasks
when exists (select 1 from tasks where no = new.no)
    or exists (select 1 from tasks where namespace = new.namespace and id = new.id)
    or exists (select 1 from tasks where namespace = new.namespace and saga_id = new.saga_id)
begin
    select raise(abort, 'tenure: a task is not replaced');
end;

create trigger compensations_keep_their_place before update on compensations
when new.task is not old.task or new.seq is not old.seq
begin
    select raise(abort, 'tenure: a compensation is not moved');
end;

create trigger compensations_of_the_ended_stay before update on compensations
when exists (select 1 from tasks where no = old.task and finished_at is not null)
begin
    select raise(abort, 'tenure: the compensations of a terminal task do not change');
end;

create trigger compensations_are_not_added_to_the_ended before insert on compensations
when exists (select 1 from tasks where no = new.task and finished_at is not null)
begin
    select raise(abort, 'tenure: the compensations of a terminal task do not change');
end;

create trigger compensations_stay before delete on compensations
begin
    select raise(abort, 'tenure: a compensation is not deleted');
end;

create trigger checkpoints_of_the_ended_stay before update on checkpoints
when new.task is not old.task or exists (select 1 from tasks where no = old.task and finished_at is not null)
begin
    select raise(abort, 'tenure: the checkpoint of a terminal task does not change');
end;

create trigger checkpoints_are_not_added_to_the_ended before insert on checkpoints
when exists (select 1 from tasks where no = new.task and finished_at is not null)
begin
    select raise(abort, 'tenure: the checkpoint of a terminal task does not change');
end;

create trigger checkpoints_stay before delete on checkpoints
begin
    select raise(abort, 'tenure: a checkpoint is not deleted');
end;

create trigger events_do_not_change before update on events
begin
    select raise(abort, 'tenure: an event does not change');
end;

create trigger events_stay before delete on events
begin
    select raise(abort, 'tenure: an event is not deleted');
end;

create trigger events_are_not_replaced before insert on events
when exists (select 1 from events where "order" = new."order")
    or exists (select 1 from events where task = new.task and number = new.number)
begin
    select raise(abort, 'tenure: an event is not replaced');
end;
