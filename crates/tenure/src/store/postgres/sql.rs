//! The SQL statements of a batch. They fetch and write for many commands at once, and decide nothing.
//!
//! `tenure.` stands for the schema. Ids of a batch are passed as arrays, and `wanted` is the table made of them by
//! `unnest`. Rows are locked in the order of their keys, so that two batches can't deadlock.

use crate::store::columns::{compensation_columns, due_columns, task_columns};

/// Begins, whatever the role's own settings are. Answered means durable, so a commit waits at least for this server's
/// disk. A process that is stopped while it holds locks gives them back. The plans are those for few rows in large tables:
/// by the keys. They must not wait for statistics, which come later than the rows.
macro_rules! begin {
    ($lock_timeout:literal) => {
        concat!(
            "begin isolation level read committed read write; \
             set local statement_timeout = 0; set local lock_timeout = ",
            $lock_timeout,
            "; set local idle_in_transaction_session_timeout = 10000; \
             set local plan_cache_mode = force_generic_plan; set local jit = off; \
             set local enable_seqscan = off; set local enable_hashjoin = off; set local enable_mergejoin = off; \
             select set_config('synchronous_commit', 'on', true) where current_setting('synchronous_commit') = 'off'"
        )
    };
}

pub(crate) const BEGIN: &str = begin!("2000");

/// For a job that is retried alone after its batch was blocked: others wait behind it.
pub(crate) const BEGIN_BRIEFLY: &str = begin!("200");

pub(crate) const ROLL_BACK: &str = "rollback";
pub(crate) const COMMIT: &str = "commit";

// ---- what is looked at -------------------------------------------------------------------------------------------

pub(crate) const LOCK_TASKS: &str = concat!(
    "select ",
    task_columns!(),
    ", tasks.feed from unnest($1::text[], $2::text[]) as wanted(n, i) \
     join tenure.tasks on tasks.namespace = n and tasks.id = i \
     order by tasks.namespace, tasks.id for update of tasks"
);

pub(crate) const LOCK_DUE: &str = concat!(
    "select due.namespace, due.task, ",
    due_columns!(),
    " from unnest($1::text[], $2::text[]) as wanted(n, i) \
     join tenure.due on due.namespace = n and due.task = i order by due.namespace, due.task for update of due"
);

pub(crate) const COMPENSATIONS: &str = concat!(
    "select namespace, task, ",
    compensation_columns!(),
    " from unnest($1::text[], $2::text[]) as wanted(n, i) \
     join tenure.compensations on namespace = n and task = i order by namespace, task, seq"
);

pub(crate) const CHECKPOINTS: &str = "\
    select namespace, task, checkpoint from unnest($1::text[], $2::text[]) as wanted(n, i) \
    join tenure.checkpoints on namespace = n and task = i";

/// Which of the names are taken, in the order in which they were given.
pub(crate) const NAMES: &str = "\
    select (select true from tenure.names where namespace = n and id = i) is not null, \
           (select true from tenure.names where namespace = n and saga_id = s) is not null \
    from unnest($1::text[], $2::text[], $3::text[]) with ordinality as wanted(n, i, s, at) order by at";

pub(crate) const REQUESTS: &str = "\
    select namespace, id, digest, actor, at, answered from unnest($1::text[], $2::text[]) as wanted(n, i) \
    join tenure.requests on namespace = n and id = i";

/// The due tasks of queues, locked: due until a given time, or by the database's clock and a little ahead of it.
/// With `true` it is an error if there are too few while other transactions hold due tasks.
pub(crate) const LOCK_CLAIMABLE: &str = concat!(
    "select ",
    task_columns!(),
    ", tasks.feed from tenure.lock_claimable($1::text[], $2::text[], $3::bigint[], \
        coalesce($4::bigint, (extract(epoch from clock_timestamp()) * 1000000)::bigint + $5), $6) as tasks"
);

/// What is due in queues, not locked: to be locked by name, and waited for.
pub(crate) const CLAIMABLE: &str = "select namespace, id from tenure.claimable($1::text[], $2::text[], $3::bigint[], \
        coalesce($4::bigint, (extract(epoch from clock_timestamp()) * 1000000)::bigint + $5))";

/// A statement of its own, after the locks: the time of one that waits for locks may be from before the wait.
pub(crate) const NOW: &str = "\
    select (extract(epoch from clock_timestamp()) * 1000000)::bigint, \
           (select value::bigint from tenure.meta where key = 'epoch_floor')";

/// Whole tasks as they are at one moment, not locked: to say why not. Their compensations don't matter for that.
pub(crate) const SEE_TASKS: &str = concat!(
    "select ",
    task_columns!(),
    ", ",
    due_columns!(),
    " from unnest($1::text[], $2::text[]) as wanted(n, i) \
     join tenure.tasks on tasks.namespace = n and tasks.id = i \
     left join tenure.due on due.namespace = n and due.task = i"
);

pub(crate) const HISTORIES: &str = "\
    select events.namespace, events.task, events.number, events.at, events.actor, events.type, events.data \
    from unnest($1::text[], $2::text[], $3::bigint[]) as wanted(n, i, r) \
    join tenure.events on namespace = n and task = i and number <= r order by namespace, task, number";

/// Tasks with these names that were created in callers' transactions and are not made yet.
pub(crate) const LOCK_INTAKE: &str = "\
    select intake.namespace, intake.id, intake.actor, intake.record, (extract(epoch from at) * 1000000)::bigint \
    from unnest($1::text[], $2::text[]) as wanted(n, i) \
    join tenure.intake on intake.namespace = n and intake.id = i and problem is null \
    order by intake.namespace, intake.id for update of intake";

/// The same for the oldest tasks of these queues.
pub(crate) const LOCK_INTAKE_OF_QUEUES: &str = "\
    select namespace, id, actor, record, (extract(epoch from at) * 1000000)::bigint from tenure.intake \
    where problem is null and (namespace, id) in ( \
        select oldest.namespace, oldest.id from unnest($1::text[], $2::text[]) as wanted(n, q) cross join lateral ( \
            select namespace, id from tenure.intake where namespace = n and queue = q and problem is null \
            order by at limit 1000) as oldest) \
    order by namespace, id for update";

/// The same for the oldest of all.
pub(crate) const LOCK_SOME_INTAKE: &str = "\
    select namespace, id, actor, record, (extract(epoch from at) * 1000000)::bigint from tenure.intake \
    where problem is null and (namespace, id) in ( \
        select namespace, id from tenure.intake where problem is null order by at limit 1000) \
    order by namespace, id for update";

// ---- what is written ---------------------------------------------------------------------------------------------

pub(crate) const TAKE_NAMES: &str = "\
    with taken as (insert into tenure.names (namespace, id, saga_id) \
        select n, i, s from unnest($1::text[], $2::text[], $3::text[]) as wanted(n, i, s) \
        on conflict do nothing returning 1) \
    select tenure.none_was_faster((select count(*) from taken), cardinality($2::text[]), 'a name was taken')";

pub(crate) const INSERT_COMPENSATIONS: &str = "\
    insert into tenure.compensations (namespace, task, seq, kind, target, reason, registered, status, epoch, key, tries, \
        receipt, last_error, waiver) \
    select * from unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[], \
        $8::text[], $9::bigint[], $10::text[], $11::bigint[], $12::text[], $13::text[], $14::text[])";

pub(crate) const UPDATE_COMPENSATIONS: &str = "\
    with changed as (update tenure.compensations set status = new.status, epoch = new.epoch, key = new.key, \
        tries = new.tries, receipt = new.receipt, last_error = new.last_error, waiver = new.waiver \
        from unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::bigint[], $6::text[], $7::bigint[], \
            $8::text[], $9::text[], $10::text[]) \
            as new(n, i, seq, status, epoch, key, tries, receipt, last_error, waiver) \
        where compensations.namespace = n and compensations.task = i and compensations.seq = new.seq returning 1) \
    select tenure.all_of((select count(*) from changed), cardinality($2::text[]), 'compensations')";

pub(crate) const PUT_CHECKPOINTS: &str = "\
    insert into tenure.checkpoints (namespace, task, checkpoint) \
    select * from unnest($1::text[], $2::text[], $3::text[]) \
    on conflict (namespace, task) do update set checkpoint = excluded.checkpoint";

pub(crate) const INSERT_TASKS: &str = "\
    insert into tenure.tasks (namespace, id, saga_id, queue, kind, state, cause, priority, not_before, labels, payload, \
        policy, attempts, epoch, revision, owed, compensations, unwinding, unwinding_reason, cancel_at, cancel_by, \
        cancel_reason, terminal_reason, result, retried_as, retry_of, created_at, updated_at, started_at, finished_at, \
        head, dismissed_at, dismissed_by, dismissed_note, feed) \
    select new.*, (select value::bigint from tenure.meta where key = 'feed_base') + pg_current_xact_id()::text::bigint \
    from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bigint[], \
        $9::bigint[], $10::text[], $11::text[], $12::text[], $13::bigint[], $14::bigint[], $15::bigint[], \
        $16::bigint[], $17::bigint[], $18::text[], $19::text[], $20::bigint[], $21::text[], $22::text[], $23::text[], \
        $24::text[], $25::text[], $26::text[], $27::bigint[], $28::bigint[], $29::bigint[], $30::bigint[], \
        $31::bytea[], $32::bigint[], $33::text[], $34::text[]) as new";

/// Repeats what was read, so that a row that is not that is never overwritten.
pub(crate) const UPDATE_TASKS: &str = "\
    with changed as (update tenure.tasks set state = new.state, cause = new.cause, not_before = new.not_before, \
        attempts = new.attempts, epoch = new.epoch, revision = new.revision, owed = new.owed, \
        compensations = new.compensations, unwinding = new.unwinding, unwinding_reason = new.unwinding_reason, \
        cancel_at = new.cancel_at, cancel_by = new.cancel_by, cancel_reason = new.cancel_reason, \
        terminal_reason = new.terminal_reason, result = new.result, retried_as = new.retried_as, \
        updated_at = new.updated_at, started_at = new.started_at, finished_at = new.finished_at, head = new.head, \
        dismissed_at = new.dismissed_at, dismissed_by = new.dismissed_by, dismissed_note = new.dismissed_note, \
        feed = greatest(tasks.feed, \
            (select value::bigint from tenure.meta where key = 'feed_base') + pg_current_xact_id()::text::bigint) \
        from unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::bigint[], $6::text[], $7::text[], \
            $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], $14::text[], \
            $15::text[], $16::bigint[], $17::text[], $18::text[], $19::text[], $20::text[], $21::text[], $22::bigint[], \
            $23::bigint[], $24::bigint[], $25::bytea[], $26::bigint[], $27::text[], $28::text[]) \
            as new(n, i, old_revision, old_state, old_epoch, state, cause, not_before, attempts, epoch, revision, owed, \
                compensations, unwinding, unwinding_reason, cancel_at, cancel_by, cancel_reason, terminal_reason, \
                result, retried_as, updated_at, started_at, finished_at, head, dismissed_at, dismissed_by, \
                dismissed_note) \
        where tasks.namespace = n and tasks.id = i and tasks.revision = old_revision and tasks.state = old_state \
            and tasks.epoch = old_epoch returning 1) \
    select tenure.all_of((select count(*) from changed), cardinality($2::text[]), 'tasks')";

/// What only a put changes.
pub(crate) const UPDATE_FIELDS: &str = "\
    with changed as (update tenure.tasks set queue = new.queue, kind = new.kind, priority = new.priority, \
        labels = new.labels, payload = new.payload, policy = new.policy \
        from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::text[], $8::text[]) \
            as new(n, i, queue, kind, priority, labels, payload, policy) \
        where tasks.namespace = n and tasks.id = i returning 1) \
    select tenure.all_of((select count(*) from changed), cardinality($2::text[]), 'tasks')";

pub(crate) const DELETE_DUE: &str = "\
    with gone as (delete from tenure.due using unnest($1::text[], $2::text[]) as wanted(n, i) \
        where due.namespace = n and due.task = i returning 1) \
    select tenure.all_of((select count(*) from gone), cardinality($2::text[]), 'due')";

pub(crate) const INSERT_DUE: &str = "\
    insert into tenure.due (namespace, task, wait, queue, owner, granted_to, epoch, ttl, since, heartbeat_at, \
        progressed_at, expires_at, check_at, progress, cancel_asked, stall_after, time_limit, lock_delay, held_back, \
        cancel_grace, cancel_told, cancel_told_at) \
    select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bigint[], \
        $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], $14::text[], \
        $15::boolean[], $16::bigint[], $17::bigint[], $18::bigint[], $19::boolean[], $20::bigint[], $21::bigint[], \
        $22::bigint[])";

/// What heartbeats write. Each is fenced by owner and epoch, which no heartbeat changes.
pub(crate) const RENEW_DUE: &str = "\
    with renewed as (update tenure.due set heartbeat_at = new.heartbeat_at, progressed_at = new.progressed_at, \
        expires_at = new.expires_at, check_at = new.check_at, progress = new.progress, \
        cancel_told = new.cancel_told, cancel_told_at = new.cancel_told_at \
        from unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], \
            $8::bigint[], $9::text[], $10::bigint[], $11::bigint[]) \
            as new(n, i, owner, epoch, heartbeat_at, progressed_at, expires_at, check_at, progress, cancel_told, \
                cancel_told_at) \
        where due.namespace = n and due.task = i and due.owner = new.owner and due.epoch = new.epoch returning 1) \
    select tenure.all_of((select count(*) from renewed), cardinality($2::text[]), 'leases')";

/// In the order of the arrays, which is that of the decisions.
///
/// The first of each task comes behind the event whose hash is the task's head, which must be the newest one.
pub(crate) const INSERT_EVENTS: &str = "\
    with new as (select * from unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::text[], \
            $7::text[], $8::text[], $9::bytea[], $10::bytea[]) as new(n, i, number, feed, at, actor, type, data, hash, head)), \
    continued as (insert into tenure.events (namespace, task, number, feed, at, actor, type, data, hash) \
        select n, i, number, greatest(feed, \
                (select value::bigint from tenure.meta where key = 'feed_base') + pg_current_xact_id()::text::bigint), \
            at, actor, type, data, hash from new \
        where head is null or (number - 1, head) = (select newest.number, newest.hash from tenure.events as newest \
            where newest.namespace = n and newest.task = i order by newest.number desc limit 1) \
        returning namespace, task, number) \
    select tenure.continue_their_histories((select n || '/' || i from new where not exists (select from continued \
        where continued.namespace = n and continued.task = i and continued.number = new.number) limit 1))";

/// A request id that is remembered no longer may be used again.
pub(crate) const REMEMBER: &str = "\
    with remembered as (insert into tenure.requests as old (namespace, id, digest, actor, at, answered) \
        select * from unnest($1::text[], $2::text[], $3::bytea[], $4::text[], $5::bigint[], $6::text[]) \
        on conflict (namespace, id) do update set digest = excluded.digest, actor = excluded.actor, \
            at = excluded.at, answered = excluded.answered where old.at <= excluded.at - $7::bigint returning 1) \
    select tenure.none_was_faster((select count(*) from remembered), cardinality($2::text[]), 'a request was repeated')";

/// Each request that comes lets up to two go that are old enough, so they are forgotten without a sweep.
pub(crate) const FORGET: &str = "\
    delete from tenure.requests using ( \
        select old.namespace, old.id from unnest($1::text[]) as wanted(n) cross join lateral ( \
            select namespace, id from tenure.requests where namespace = n and at > 0 and at <= $2 order by at limit $3 \
            for update skip locked) as old) as forgotten \
    where requests.namespace = forgotten.namespace and requests.id = forgotten.id";

pub(crate) const MADE: &str = "\
    with made as (delete from tenure.intake using unnest($1::text[], $2::text[]) as wanted(n, i) \
        where intake.namespace = n and intake.id = i returning 1) \
    select tenure.all_of((select count(*) from made), cardinality($2::text[]), 'intake')";

/// A task that can't be made is kept with the reason, and blocks nothing.
pub(crate) const SET_ASIDE: &str =
    "update tenure.intake set problem = $3 where namespace = $1 and id = $2 and problem is null";

/// Each connection counts in a shard of its own, as a rule, so that no commit waits for another.
pub(crate) const COUNT_ENDS: &str = "\
    insert into tenure.ends as old (namespace, minute, queue, state, cause, shard, count) \
    select n, m, q, s, c, pg_backend_pid() % 16, more \
    from unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::bigint[]) as new(n, m, q, s, c, more) \
    order by n, m, q, s, c \
    on conflict (namespace, minute, queue, state, cause, shard) do update set count = old.count + excluded.count";

/// Each counted end also deletes some counts that are no longer needed.
pub(crate) const FORGET_ENDS: &str = "\
    delete from tenure.ends where (namespace, minute, queue, state, cause, shard) in ( \
        select namespace, minute, queue, state, cause, shard from tenure.ends \
        where namespace = any($1::text[]) and minute > 0 and minute < $2 limit 256 for update skip locked)";

/// Gives a transaction something to commit: a message in the WAL that nobody reads. A transaction id alone is
/// committed without a wait.
pub(crate) const SOMETHING_TO_COMMIT: &str = "select pg_logical_emit_message(true, 'tenure', '')::text";
