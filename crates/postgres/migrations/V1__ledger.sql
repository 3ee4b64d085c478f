-- The ledger: tasks, what they wait for, how to undo them, and their history.
-- JSON is canonical text. Times are microseconds since 1970 in UTC. Names and columns are public.
-- Every key begins with the namespace and has all that a join needs, so that the tables can be distributed by it.
-- Keys compare as bytes: an order of locks must be the same for everybody, whatever the database's language.
-- `tenure.` stands for the schema that was chosen.

create table tenure.meta (
    key text primary key,
    value text not null
);

-- The names that are taken, those of tasks that are gone too.
create table tenure.names (
    namespace text collate "C" not null,
    id text collate "C" not null,
    saga_id text collate "C" not null,
    primary key (namespace, id)
);
-- The condition is always true. It keeps lookups by id off this index: while a table is new the planner knows of no rows,
-- and would as soon go through all of a namespace.
create unique index names_by_saga on tenure.names (namespace, saga_id) where saga_id is not null;

create table tenure.tasks (
    namespace text collate "C" not null,
    id text collate "C" not null,
    saga_id text collate "C" not null,
    -- Their age: the order in which they were made.
    no bigint generated always as identity,
    queue text collate "C" not null,
    kind text not null,
    state text not null check (state in ('planned', 'dispatched', 'running', 'compensating', 'completed', 'failed',
        'compensated', 'quarantined')),
    cause text,
    priority bigint not null,
    not_before bigint,
    labels text not null,
    payload text not null,
    policy text not null,
    attempts bigint not null,
    epoch bigint not null,
    revision bigint not null,
    owed bigint not null,
    compensations bigint not null,
    unwinding text,
    unwinding_reason text,
    cancel_at bigint,
    cancel_by text,
    cancel_reason text,
    terminal_reason text,
    result text,
    retried_as text,
    retry_of text,
    created_at bigint not null,
    updated_at bigint not null,
    started_at bigint,
    finished_at bigint,
    head bytea not null,
    -- That of its newest event, see `events`.
    feed bigint not null,
    -- What the indexes below look at. They are columns of their own, because an update that leaves all columns of indexes
    -- as they are, those of their conditions too, writes no index: so the end of a task that is completed writes none.
    claim_from bigint generated always as (case when state = 'planned' then coalesce(not_before, created_at) end) stored,
    ended_badly text generated always as
        (case when state in ('failed', 'compensated', 'quarantined') then state end) stored,
    primary key (namespace, id),
    check ((finished_at is not null) = (state in ('completed', 'failed', 'compensated', 'quarantined')))
) with (fillfactor = 60);

-- Lists go by age within a namespace. The condition is always true and stands in every list: it keeps lookups by id off
-- this index, which the planner would take while the table is new, to go through all of a namespace.
create index tasks_by_age on tenure.tasks (namespace, no) where no > 0;
-- Claims: the next planned ones. Terminal tasks are in no hot index.
create index tasks_to_claim on tenure.tasks (namespace, queue, priority desc, claim_from, no)
    where claim_from is not null;
-- What a person must look at, and what was undone: few, and looked for among many.
create index tasks_ended_badly on tenure.tasks (namespace, ended_badly, no) where ended_badly is not null;

-- What a task that is not terminal waits for. A heartbeat writes this row alone, and no index: hence the free room in
-- each page, and hence no index has a column that a heartbeat writes but `check_at`, which it writes once a lease.
create table tenure.due (
    namespace text collate "C" not null,
    task text collate "C" not null,
    wait text not null check (wait in ('lease', 'undo_lease', 'reservation', 'undo', 'start')),
    queue text collate "C",
    owner text collate "C",
    granted_to text,
    epoch bigint,
    ttl bigint,
    since bigint,
    heartbeat_at bigint,
    progressed_at bigint,
    expires_at bigint not null,
    check_at bigint not null,
    progress text,
    cancel_asked boolean not null,
    stall_after bigint,
    time_limit bigint,
    lock_delay bigint,
    held_back boolean not null,
    primary key (namespace, task)
) with (fillfactor = 50);

-- What recovery looks for, and what only stale lists look for.
create index due_to_check on tenure.due (check_at, namespace, task) where not held_back;
create index due_held_back on tenure.due (check_at) where held_back;
create index due_reservations on tenure.due (namespace, queue) where wait = 'reservation';

create table tenure.checkpoints (
    namespace text collate "C" not null,
    task text collate "C" not null,
    checkpoint text not null,
    primary key (namespace, task)
) with (fillfactor = 80);

create table tenure.compensations (
    namespace text collate "C" not null,
    task text collate "C" not null,
    seq bigint not null,
    kind text not null,
    target text not null,
    reason text,
    registered text not null check (registered in ('before_lease', 'under_lease')),
    status text not null check (status in ('standing', 'owed', 'done', 'waived', 'void')),
    epoch bigint,
    key text,
    tries bigint not null,
    receipt text,
    last_error text,
    waiver text,
    primary key (namespace, task, seq)
) with (fillfactor = 80);

-- The history is read by (feed, "order"). The feed is the number of the transaction that wrote the event, or that of the
-- task's event before, if it is higher: so whoever reads only below the oldest transaction that is still open misses
-- nothing and sees the events of a task in their order.
create table tenure.events (
    namespace text collate "C" not null,
    task text collate "C" not null,
    number bigint not null,
    feed bigint not null,
    "order" bigint generated always as identity,
    at bigint not null,
    actor text not null,
    type text not null,
    data text not null,
    hash bytea not null,
    primary key (namespace, task, number)
);

create index events_by_feed on tenure.events (feed, "order");

create table tenure.requests (
    namespace text collate "C" not null,
    id text collate "C" not null,
    digest bytea not null,
    actor text not null,
    at bigint not null,
    answered text not null,
    primary key (namespace, id)
);

create index requests_by_age on tenure.requests (namespace, at) where at > 0;

-- The next tasks of queues, in the order in which they are claimed. One priority after the other, so that tasks of a high
-- one that are not due yet are not read one by one; where there are very many priorities they are, because a look for each
-- would cost more. More than the limit may come: who asked chooses.

create function tenure.claimable(wanted_namespaces text[], wanted_queues text[], wanted_counts bigint[], until bigint)
returns table (namespace text, id text) language plpgsql as $$
declare
    looks bigint;
    level bigint;
    missing bigint;
    found_now bigint;
begin
    for nth in 1..cardinality(wanted_queues) loop
        return query select due.namespace, due.task from tenure.due
            where due.namespace = wanted_namespaces[nth] and due.queue = wanted_queues[nth]
            and due.wait = 'reservation' and due.expires_at <= until;
        missing := wanted_counts[nth];
        level := null;
        looks := 0;
        while missing > 0 loop
            looks := looks + 1;
            level := tenure.next_priority(wanted_namespaces[nth], wanted_queues[nth], level, until, looks);
            exit when level is null;
            return query select tasks.namespace, tasks.id from tenure.tasks
                where tasks.namespace = wanted_namespaces[nth] and tasks.queue = wanted_queues[nth]
                and tasks.priority = level and tasks.claim_from <= until
                order by tasks.claim_from, tasks.no limit missing;
            get diagnostics found_now = row_count;
            missing := missing - found_now;
        end loop;
    end loop;
end
$$;

-- The same, locked, without waiting for what others have locked. Where that leaves too few although others hold some that
-- are due, `strictly` makes it an error: they may let them go, and then a claim would have been told of too few.
create function tenure.lock_claimable(
    wanted_namespaces text[], wanted_queues text[], wanted_counts bigint[], until bigint, strictly boolean)
returns setof tenure.tasks language plpgsql as $$
declare
    looks bigint;
    level bigint;
    missing bigint;
    found_now bigint;
    held boolean := false;
begin
    for nth in 1..cardinality(wanted_queues) loop
        return query select tasks.* from tenure.due join tenure.tasks
            on tasks.namespace = due.namespace and tasks.id = due.task
            where due.namespace = wanted_namespaces[nth] and due.queue = wanted_queues[nth]
            and due.wait = 'reservation' and due.expires_at <= until
            for update of tasks skip locked;
        get diagnostics found_now = row_count;
        perform 1 from tenure.due where due.namespace = wanted_namespaces[nth] and due.queue = wanted_queues[nth]
            and due.wait = 'reservation' and due.expires_at <= until offset found_now limit 1;
        held := held or found;
        missing := wanted_counts[nth];
        level := null;
        looks := 0;
        while missing > 0 loop
            looks := looks + 1;
            level := tenure.next_priority(wanted_namespaces[nth], wanted_queues[nth], level, until, looks);
            exit when level is null;
            return query select tasks.* from tenure.tasks
                where tasks.namespace = wanted_namespaces[nth] and tasks.queue = wanted_queues[nth]
                and tasks.priority = level and tasks.claim_from <= until
                order by tasks.claim_from, tasks.no limit missing for update skip locked;
            get diagnostics found_now = row_count;
            if found_now < missing then
                perform 1 from tenure.tasks
                    where tasks.namespace = wanted_namespaces[nth] and tasks.queue = wanted_queues[nth]
                    and tasks.priority = level and tasks.claim_from <= until offset found_now limit 1;
                held := held or found;
            end if;
            missing := missing - found_now;
        end loop;
        if strictly and held and missing > 0 then
            raise exception 'tenure: others hold what is due' using errcode = 'TN004';
        end if;
    end loop;
end
$$;

-- The next priority below one that a planned task of a queue has; after a number of looks, that a due one has.
create function tenure.next_priority(
    wanted_namespace text, wanted_queue text, below bigint, until bigint, looks bigint)
returns bigint language plpgsql as $$
declare
    level bigint;
begin
    if looks <= 32 then
        select tasks.priority into level from tenure.tasks
            where tasks.namespace = wanted_namespace and tasks.queue = wanted_queue and tasks.claim_from is not null
            and tasks.priority < coalesce(below, 9223372036854775807) order by tasks.priority desc limit 1;
    else
        select tasks.priority into level from tenure.tasks
            where tasks.namespace = wanted_namespace and tasks.queue = wanted_queue and tasks.claim_from <= until
            and tasks.priority < below order by tasks.priority desc limit 1;
    end if;
    return level;
end
$$;

-- Checks of those who write: a statement that did not do what it was to do ends the transaction.

create function tenure.all_of(done bigint, wanted bigint, what text) returns boolean language plpgsql as $$
begin
    if done <> wanted then
        raise exception 'tenure: % of % rows: %', done, wanted, what using errcode = 'TN001';
    end if;
    return true;
end
$$;

create function tenure.none_was_faster(done bigint, wanted bigint, what text) returns boolean language plpgsql as $$
begin
    if done <> wanted then
        raise exception 'tenure: another one was faster: %', what using errcode = 'TN002';
    end if;
    return true;
end
$$;

-- The database guards itself, whoever opens it and with whatever program.

create function tenure.refuse() returns trigger language plpgsql as $$
begin
    raise exception 'tenure: %', tg_argv[0] using errcode = 'TN003';
end
$$;

create trigger tasks_keep_their_names before update on tenure.tasks for each row
    when (new.namespace <> old.namespace or new.id <> old.id or new.saga_id <> old.saga_id or new.no <> old.no)
    execute function tenure.refuse('the names of a task never change');

-- The condition is short, because the server reads it anew for every statement.
create function tenure.refuse_for_an_ended_task() returns trigger language plpgsql as $$
begin
    if new.state is distinct from old.state or new.cause is distinct from old.cause
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
        or new.started_at is distinct from old.started_at or new.finished_at is distinct from old.finished_at then
        raise exception 'tenure: a terminal task does not change' using errcode = 'TN003';
    end if;
    return new;
end
$$;

create trigger tasks_that_ended_stay before update on tenure.tasks for each row
    when (old.finished_at is not null) execute function tenure.refuse_for_an_ended_task();

create trigger tasks_stay before delete on tenure.tasks for each row
    execute function tenure.refuse('a task is not deleted');
create trigger tasks_are_not_emptied before truncate on tenure.tasks for each statement
    execute function tenure.refuse('a task is not deleted');

create trigger names_stay before update or delete on tenure.names for each row
    execute function tenure.refuse('a name stays taken');
create trigger names_are_not_emptied before truncate on tenure.names for each statement
    execute function tenure.refuse('a name stays taken');

create function tenure.refuse_for_the_ended() returns trigger language plpgsql as $$
begin
    if exists (select 1 from written join tenure.tasks on tasks.namespace = written.namespace
            and tasks.id = written.task where tasks.finished_at is not null) then
        raise exception 'tenure: %', tg_argv[0] using errcode = 'TN003';
    end if;
    return null;
end
$$;

create trigger compensations_keep_their_place before update on tenure.compensations for each row
    when (new.namespace <> old.namespace or new.task <> old.task or new.seq <> old.seq)
    execute function tenure.refuse('a compensation is not moved');
create trigger compensations_of_the_ended_stay after update on tenure.compensations
    referencing new table as written for each statement
    execute function tenure.refuse_for_the_ended('the compensations of a terminal task do not change');
create trigger compensations_are_not_added_to_the_ended after insert on tenure.compensations
    referencing new table as written for each statement
    execute function tenure.refuse_for_the_ended('the compensations of a terminal task do not change');
create trigger compensations_stay before delete on tenure.compensations for each row
    execute function tenure.refuse('a compensation is not deleted');
create trigger compensations_are_not_emptied before truncate on tenure.compensations for each statement
    execute function tenure.refuse('a compensation is not deleted');

create trigger checkpoints_keep_their_place before update on tenure.checkpoints for each row
    when (new.namespace <> old.namespace or new.task <> old.task)
    execute function tenure.refuse('a checkpoint is not moved');
create trigger checkpoints_of_the_ended_stay after update on tenure.checkpoints
    referencing new table as written for each statement
    execute function tenure.refuse_for_the_ended('the checkpoint of a terminal task does not change');
create trigger checkpoints_are_not_added_to_the_ended after insert on tenure.checkpoints
    referencing new table as written for each statement
    execute function tenure.refuse_for_the_ended('the checkpoint of a terminal task does not change');
create trigger checkpoints_stay before delete on tenure.checkpoints for each row
    execute function tenure.refuse('a checkpoint is not deleted');
create trigger checkpoints_are_not_emptied before truncate on tenure.checkpoints for each statement
    execute function tenure.refuse('a checkpoint is not deleted');

create trigger events_stay before update or delete on tenure.events for each row
    execute function tenure.refuse('an event neither changes nor goes');
create trigger events_are_not_emptied before truncate on tenure.events for each statement
    execute function tenure.refuse('an event neither changes nor goes');
