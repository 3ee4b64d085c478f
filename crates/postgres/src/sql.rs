//! The statements of a batch. They fetch and write for many commands at once, and decide nothing. Those that name the columns
//! of a table are made once, from the lists in [`tenure_store::columns`].
//!
//! `tenure.` stands for the schema. Ids of a batch are passed as arrays, and `wanted` is the table made of them by
//! `unnest`. Rows are locked in the order of their keys, so that two batches can't deadlock.

use std::sync::LazyLock;

use tenure_store::columns::ColumnType::{Bytes, Number, Text};
use tenure_store::columns::{
    ChangedBy, Column, ColumnType, CompensationRow, DueRow, EventRow, NamespaceRow, RequestRow, TableRow,
    TaskRow, TokenRow, join_names, task_select_list,
};

/// A statement that names the columns of a table.
pub(crate) type Sql = LazyLock<String>;

/// Whether the guards of tasks and events let these transactions pass: they repeat looks that are made before, by [`crate::batch`] and by
/// [`INSERT_EVENTS`]. In debug builds they look all the same, so that tests show that they would refuse nothing.
#[cfg(debug_assertions)]
macro_rules! look_themselves {
    () => {
        "off"
    };
}
#[cfg(not(debug_assertions))]
macro_rules! look_themselves {
    () => {
        "on"
    };
}

pub(crate) const BEGIN: &str = "begin isolation level read committed read write";

/// What a transaction of a batch begins with, whatever the role's own settings are. Answered means durable, so a commit waits at least for
/// this server's disk. A process that is stopped while it holds locks gives them back. The plans are those for few rows in large
/// tables: by the keys. They must not wait for statistics, which come later than the rows. The parameter is how long locks are waited
/// for. It also looks at what [`NOW`] does, which is enough where no locks are waited for.
pub(crate) const SETTINGS_AND_NOW: &str = concat!(
    "select (extract(epoch from clock_timestamp()) * 1000000)::bigint, \
            (select value::bigint from tenure.meta where key = 'epoch_floor'), \
     set_config('statement_timeout', '0', true), set_config('lock_timeout', $1, true), \
     set_config('idle_in_transaction_session_timeout', '10000', true), \
     set_config('plan_cache_mode', 'force_generic_plan', true), set_config('jit', 'off', true), \
     set_config('enable_seqscan', 'off', true), set_config('enable_hashjoin', 'off', true), \
     set_config('enable_mergejoin', 'off', true), set_config('tenure_commands.look_themselves', '",
    look_themselves!(),
    "', true), case current_setting('synchronous_commit') when 'off' \
        then set_config('synchronous_commit', 'on', true) end"
);

pub(crate) const ROLL_BACK: &str = "rollback";
pub(crate) const COMMIT: &str = "commit";

// ---- what is read -------------------------------------------------------------------------------------------

pub(crate) static LOCK_TASKS: Sql = Sql::new(|| {
    format!(
        "select {}, tasks.feed, tasks.xmin from unnest($1::text[], $2::text[]) as wanted(n, i) \
         join tenure.tasks on tasks.namespace = n and tasks.id = i \
         order by tasks.namespace, tasks.id for update of tasks",
        task_select_list()
    )
});

pub(crate) static LOCK_DUE: Sql = Sql::new(|| {
    format!(
        "select due.namespace, due.task, {}, due.xmin from unnest($1::text[], $2::text[]) as wanted(n, i) \
         join tenure.due on due.namespace = n and due.task = i order by due.namespace, due.task for update of due",
        DueRow::select_list()
    )
});

pub(crate) static COMPENSATIONS: Sql = Sql::new(|| {
    format!(
        "select namespace, task, {} from unnest($1::text[], $2::text[]) as wanted(n, i) \
         join tenure.compensations on namespace = n and task = i order by namespace, task, seq",
        CompensationRow::select_list()
    )
});

pub(crate) const CHECKPOINTS: &str = "\
    select namespace, task, checkpoint from unnest($1::text[], $2::text[]) as wanted(n, i) \
    join tenure.checkpoints on namespace = n and task = i";

/// Which of the names are taken, in the order in which they were given.
pub(crate) const NAMES: &str = "\
    select (select true from tenure.names where namespace = n and id = i) is not null, \
           (select true from tenure.names where namespace = n and saga_id = s) is not null \
    from unnest($1::text[], $2::text[], $3::text[]) with ordinality as wanted(n, i, s, at) order by at";

pub(crate) static REQUESTS: Sql = Sql::new(|| {
    format!(
        "select namespace, id, {} from unnest($1::text[], $2::text[]) as wanted(n, i) \
         join tenure.requests on namespace = n and id = i",
        RequestRow::select_list()
    )
});

/// The due tasks of queues, locked: due until a given time, or by the database's clock and a little ahead of it. What a function
/// gives has no version.
/// With `true` it is an error if there are too few while other transactions hold due tasks.
pub(crate) static LOCK_CLAIMABLE: Sql = Sql::new(|| {
    format!(
        "select {}, tasks.feed, null::xid from tenure.lock_claimable($1::text[], $2::text[], $3::bigint[], \
            coalesce($4::bigint, (extract(epoch from clock_timestamp()) * 1000000)::bigint + $5), $6) as tasks",
        task_select_list()
    )
});

/// What is due in queues, not locked: to be locked by name, and waited for.
pub(crate) const CLAIMABLE: &str = "select namespace, id from tenure.claimable($1::text[], $2::text[], $3::bigint[], \
        coalesce($4::bigint, (extract(epoch from clock_timestamp()) * 1000000)::bigint + $5))";

/// A statement of its own, after the locks: the time of one that waits for locks is from before the wait.
pub(crate) const NOW: &str = "\
    select (extract(epoch from clock_timestamp()) * 1000000)::bigint, \
           (select value::bigint from tenure.meta where key = 'epoch_floor')";

/// Whole tasks as they are at one moment, not locked: to say why not. Their compensations don't matter for that.
pub(crate) static SEE_TASKS: Sql = Sql::new(|| {
    format!(
        "select {}, {} from unnest($1::text[], $2::text[]) as wanted(n, i) \
         join tenure.tasks on tasks.namespace = n and tasks.id = i \
         left join tenure.due on due.namespace = n and due.task = i",
        task_select_list(),
        DueRow::select_list()
    )
});

pub(crate) static HISTORIES: Sql = Sql::new(|| {
    format!(
        "select namespace, task, {} from unnest($1::text[], $2::text[], $3::bigint[]) as wanted(n, i, r) \
         join tenure.events on namespace = n and task = i and number <= r order by namespace, task, number",
        EventRow::select_list()
    )
});

/// All requests that are remembered, by their names, behind one of these.
pub(crate) static REQUESTS_BEHIND: Sql = Sql::new(|| {
    let request = RequestRow::select_list();
    format!(
        "select namespace, id, {request} from tenure.requests where (namespace, id) > ($1, $2) \
         order by namespace, id limit $3"
    )
});

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

pub(crate) static INSERT_TOKEN: Sql = Sql::new(|| {
    let places: Vec<String> = (1..=TokenRow::COLUMNS.len()).map(|at| format!("${at}")).collect();
    format!("insert into tenure.tokens ({}) values ({})", names(TokenRow::COLUMNS), places.join(", "))
});

pub(crate) static TOKENS: Sql = Sql::new(|| format!("{} order by no", select_tokens()));
/// The newest of that name. Older ones of it are revoked.
pub(crate) static TOKEN_BY_NAME: Sql =
    Sql::new(|| format!("{} where name = $1 order by no desc limit 1", select_tokens()));
pub(crate) static TOKEN_BY_HASH: Sql = Sql::new(|| format!("{} where hash = $1", select_tokens()));

fn select_tokens() -> String {
    format!("select {} from tenure.tokens", TokenRow::select_list())
}

/// A name that another one took in the meantime is a unique violation: `on conflict do nothing` would cost a second look at both
/// indexes for each name.
pub(crate) const TAKE_NAMES: &str = "\
    insert into tenure.names (namespace, id, saga_id) \
    select * from unnest($1::text[], $2::text[], $3::text[])";

pub(crate) static INSERT_COMPENSATIONS: Sql = Sql::new(|| {
    let (names, arrays) = (names(CompensationRow::COLUMNS), arrays(&[Text, Text], CompensationRow::COLUMNS));
    format!("insert into tenure.compensations (namespace, task, {names}) select * from unnest({arrays})")
});

pub(crate) static UPDATE_COMPENSATIONS: Sql = Sql::new(|| {
    update::<CompensationRow<'_>>("task", &[ChangedBy::Command], UpdateWords::of("compensations"))
});

pub(crate) const PUT_CHECKPOINTS: &str = "\
    insert into tenure.checkpoints (namespace, task, checkpoint) \
    select * from unnest($1::text[], $2::text[], $3::text[]) \
    on conflict (namespace, task) do update set checkpoint = excluded.checkpoint";

/// The number of the transaction, as it counts among all of the store: looked up once a statement.
const OWN_FEED: &str =
    "(select value::bigint + pg_current_xact_id()::text::bigint from tenure.meta where key = 'feed_base')";

/// What the indexes of tasks look at, besides what tasks have themselves, and how it follows from a row.
pub(crate) fn indexed_columns(row: &str, created_at: &str) -> [(&'static str, String); 2] {
    let claim_from =
        format!("case when {row}.state = 'planned' then coalesce({row}.not_before, {created_at}) end");
    let ended_badly =
        format!("case when {row}.state in ('failed', 'compensated', 'quarantined') then {row}.state end");
    [("claim_from", claim_from), ("ended_badly", ended_badly)]
}

pub(crate) static INSERT_TASKS: Sql = Sql::new(|| {
    let (names, arrays) = (names(TaskRow::COLUMNS), arrays(&[], TaskRow::COLUMNS));
    let indexed = indexed_columns("new", "new.created_at");
    let (indexed_names, indexed): (Vec<_>, Vec<_>) = indexed.into_iter().unzip();
    format!(
        "insert into tenure.tasks ({names}, feed, {}) select new.*, {OWN_FEED}, {} \
         from unnest({arrays}) as new({names})",
        indexed_names.join(", "),
        indexed.join(", ")
    )
});

pub(crate) static UPDATE_TASKS: Sql = Sql::new(|| {
    let indexed = indexed_columns("new", "tasks.created_at");
    let indexed: String = indexed.iter().map(|(name, value)| format!(", {name} = {value}")).collect();
    let more = format!(", feed = greatest(tasks.feed, {OWN_FEED}){indexed}");
    // One that a claim found has no version, and one that a put has just written has another one; both are locked.
    let version = " and (version is null or tasks.xmin = version)";
    update::<TaskRow<'_>>(
        "id",
        ChangedBy::COMMANDS,
        UpdateWords { more: &more, version, ..UpdateWords::of("tasks") },
    )
});

pub(crate) static UPDATE_PUT_FIELDS: Sql =
    Sql::new(|| update::<TaskRow<'_>>("id", &[ChangedBy::Put], UpdateWords::of("tasks")));

pub(crate) const DELETE_DUE: &str = "\
    with gone as (delete from tenure.due using unnest($1::text[], $2::text[], $3::xid[]) as wanted(n, i, version) \
        where due.namespace = n and due.task = i and due.xmin = version returning 1) \
    select tenure.all_of((select count(*) from gone), cardinality($2::text[]), 'due')";

pub(crate) static INSERT_DUE: Sql = Sql::new(|| {
    let (names, arrays) = (names(DueRow::COLUMNS), arrays(&[Text], DueRow::COLUMNS));
    format!("insert into tenure.due (task, {names}) select * from unnest({arrays})")
});

pub(crate) static RENEW_DUE: Sql = Sql::new(|| {
    let version = " and due.xmin = version";
    update::<DueRow<'_>>("task", BY_HEARTBEATS, UpdateWords { version, ..UpdateWords::of("leases") })
});

/// What writes the columns that a heartbeat may change.
pub(crate) const BY_HEARTBEATS: &[ChangedBy] = &[ChangedBy::Heartbeat, ChangedBy::LateHeartbeat];

/// Where the histories of namespaces end, behind the feeds of their newest events.
pub(crate) static LOCK_NAMESPACES: Sql = Sql::new(|| {
    let end = NamespaceRow::select_list();
    format!(
        "select namespace, feed, {end} from tenure.namespace_histories where namespace = any($1::text[]) \
         order by namespace for update"
    )
});

/// A history that begins here may have begun elsewhere in the meantime.
pub(crate) static PUT_NAMESPACES: Sql = Sql::new(|| {
    let (names, arrays) = (names(NamespaceRow::COLUMNS), arrays(&[Text, Number], NamespaceRow::COLUMNS));
    let changes = join_names(NamespaceRow::COLUMNS, |name| format!("{name} = excluded.{name}"));
    format!(
        "with continued as (insert into tenure.namespace_histories as old (namespace, feed, {names}) \
            select n, greatest(feed, {OWN_FEED}), {names} from unnest({arrays}) as new(n, feed, {names}) \
            on conflict (namespace) do update set {changes}, feed = excluded.feed where old.number < excluded.number \
            returning 1) \
         select tenure.none_was_faster((select count(*) from continued), cardinality($1::text[]), \
            'the history of a namespace began elsewhere')"
    )
});

/// In the order of the arrays, which is that of the decisions.
///
/// The first of each task comes behind the event whose hash is the task's head, which must be the newest one. Which event does not is
/// only looked for if one is missing. It gives what [`OWN_NUMBERS`] does.
pub(crate) static INSERT_EVENTS: Sql = Sql::new(|| {
    let (names, arrays) = (names(EventRow::COLUMNS), arrays(&[Text, Text, Number, Bytes], EventRow::COLUMNS));
    let new = format!("unnest({arrays}) as new(n, i, feed, head, {names})");
    let continues = "(number - 1, head) = (select newest.number, newest.hash from tenure.events as newest \
        where newest.namespace = n and newest.task = i order by newest.number desc limit 1)";
    format!(
        "with continued as (insert into tenure.events (namespace, task, feed, {names}) \
            select n, i, greatest(feed, {OWN_FEED}), {names} from {new} where head is null or {continues} returning 1) \
         select pg_current_xact_id()::text::bigint, {OWN_FEED}, tenure.continue_their_histories(case when (select count(*) from continued) < cardinality($2::text[]) \
            then (select n || '/' || i from {new} where head is not null and ({continues}) is not true limit 1) end)"
    )
});

/// What follows in a transaction that was decided without locks is decided by nothing it knew: it waits as long as in others.
pub(crate) const WAIT_AS_USUAL: &str = "select set_config('lock_timeout', '2000', true)";

/// A request id that is remembered no longer may be used again. The last parameter is for how long one is.
pub(crate) static REMEMBER: Sql = Sql::new(|| {
    let (names, arrays) = (names(RequestRow::COLUMNS), arrays(&[Text, Text], RequestRow::COLUMNS));
    let excluded = join_names(RequestRow::COLUMNS, |name| format!("{name} = excluded.{name}"));
    let memory = 3 + RequestRow::COLUMNS.len();
    format!(
        "with remembered as (insert into tenure.requests as old (namespace, id, {names}) \
            select * from unnest({arrays}) on conflict (namespace, id) do update set {excluded} \
            where old.at <= excluded.at - ${memory}::bigint returning 1) \
         select tenure.none_was_faster((select count(*) from remembered), cardinality($2::text[]), \
            'a request was repeated')"
    )
});

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

/// One of [`crate::database::PostgresDatabase::SWEEPS_APART`] batches with ends deletes counts that are too old to be read. What is above the
/// limit is deleted by the next ones.
pub(crate) const FORGET_ENDS: &str = "\
    delete from tenure.ends where (namespace, minute, queue, state, cause, shard) in ( \
        select namespace, minute, queue, state, cause, shard from tenure.ends \
        where namespace = any($1::text[]) and minute > 0 and minute < $2 limit 4096 for update skip locked)";

/// Which transaction this is, by its own number and by that of the events it writes.
pub(crate) const OWN_NUMBERS: &str = "\
    select pg_current_xact_id()::text::bigint, value::bigint + pg_current_xact_id()::text::bigint \
    from tenure.meta where key = 'feed_base'";

/// Gives a transaction something to commit: a message in the WAL that nobody reads. A transaction id alone is
/// committed without a wait.
pub(crate) const SOMETHING_TO_COMMIT: &str = "select pg_logical_emit_message(true, 'tenure', '')::text";

// ---- how columns are named ---------------------------------------------------------------------------------------

fn names<'a, R: TableRow<'a>>(columns: impl IntoIterator<Item = &'a Column<'a, R>>) -> String {
    join_names(columns, str::to_owned)
}

/// Parameters for arrays of those types, and for one of each column.
fn arrays<'a, R: TableRow<'a>>(
    first: &[ColumnType],
    columns: impl IntoIterator<Item = &'a Column<'a, R>>,
) -> String {
    let types = first.iter().copied().chain(columns.into_iter().map(|column| column.kind));
    let arrays = types.zip(1..).map(|(kind, at)| format!("${at}::{}", kind.array()));
    arrays.collect::<Vec<_>>().join(", ")
}

/// What an update says besides its columns.
struct UpdateWords<'a> {
    /// What it sets besides what it is given.
    more: &'a str,
    /// What it expects of `version`, one for each row; nothing where rows have none.
    version: &'a str,
    /// What is told if a row is not as expected.
    what: &'a str,
}

impl<'a> UpdateWords<'a> {
    fn of(what: &'a str) -> UpdateWords<'a> {
        UpdateWords { more: "", version: "", what }
    }
}

/// Writes the columns that these change. Its parameters are the keys, the versions if rows have one, what is expected to be as it was
/// read, and the changes. A row that is not as expected is never overwritten, and the transaction fails.
fn update<'a, R: TableRow<'a>>(id: &str, by: &'static [ChangedBy], words: UpdateWords<'_>) -> String {
    let (table, UpdateWords { more, version, what }) = (R::TABLE, words);
    let (version_type, version_name) =
        if version.is_empty() { ("", "") } else { ("$3::xid[], ", "version, ") };
    let first = if version.is_empty() { 3 } else { 4 };
    let changed = || R::expected().chain(R::changed_by(by));
    let values = changed().zip(first..).map(|(column, at)| format!("${at}::{}", column.kind.array()));
    let values = values.collect::<Vec<_>>().join(", ");
    let old = join_names(R::expected(), |name| format!("old_{name}"));
    let expected: String =
        R::expected().map(|column| format!(" and {table}.{0} = old_{0}", column.name)).collect();
    let changes = join_names(R::changed_by(by), |name| format!("{name} = new.{name}"));
    let new = names(R::changed_by(by));
    format!(
        "with changed as (update tenure.{table} set {changes}{more} \
            from unnest($1::text[], $2::text[], {version_type}{values}) as new(n, i, {version_name}{old}, {new}) \
            where {table}.namespace = n and {table}.{id} = i{version}{expected} returning 1) \
         select tenure.all_of((select count(*) from changed), cardinality($2::text[]), '{what}')"
    )
}
