//! The statements that name the columns of a table, made once from the lists in [`tenure_store::columns`].

use std::sync::LazyLock;

use tenure_store::columns::{
    ChangedBy, Column, CompensationRow, DueRow, EventRow, NamespaceRow, RequestRow, TableRow, TaskRow,
    TokenRow, join_names, task_select_list,
};
use tenure_store::stored::ColumnValue;

/// A statement, or the beginning of one.
type Sql = LazyLock<String>;

// ---- what is read ------------------------------------------------------------------------------------------------

/// Tasks with all that belongs to them but their compensations. Conditions and an order are appended.
pub(crate) static SELECT_TASKS: Sql = Sql::new(|| {
    let (task, due) = (task_select_list(), DueRow::select_list());
    format!(
        "select {task}, checkpoints.checkpoint, {due} from tasks left join due on due.task = tasks.no \
         left join checkpoints on checkpoints.task = tasks.no"
    )
});

pub(crate) static TASK: Sql =
    Sql::new(|| format!("{} where tasks.namespace = ? and tasks.id = ?", *SELECT_TASKS));

/// What a heartbeat reads, and the number of the task's row after it.
pub(crate) static LEASE: Sql = Sql::new(|| {
    let due = DueRow::select_list();
    format!(
        "select {due}, due.task from due where due.task = (select no from tasks where namespace = ? and id = ?)"
    )
});

pub(crate) static COMPENSATIONS: Sql = Sql::new(|| {
    let compensation = CompensationRow::select_list();
    format!("select {compensation} from compensations where task = ? order by seq")
});

pub(crate) static HISTORY: Sql = Sql::new(|| {
    let event = EventRow::select_list();
    format!(
        "select {event} from events where task = (select no from tasks where namespace = ? and id = ?) \
         and number <= ? order by number"
    )
});

/// The events of a task, and behind each its place among all.
pub(crate) static CHAIN: Sql = Sql::new(|| {
    let event = EventRow::select_list();
    format!("select {event}, \"order\" from events where task = ? order by \"order\"")
});

/// The namespace of an event of [`SELECT_EVENTS`]; null if nothing tells it.
pub(crate) const EVENT_NAMESPACE: &str = "coalesce(tasks.namespace, namespace_histories.namespace)";

/// Events, each followed by its place among all, its namespace, and the id of its task. Conditions are appended, of which one must say
/// that the namespace is known.
pub(crate) static SELECT_EVENTS: Sql = Sql::new(|| {
    let event = EventRow::select_list();
    format!(
        "select {event}, events.\"order\", {EVENT_NAMESPACE}, tasks.id from events \
         left join tasks on tasks.no = events.task \
         left join namespace_histories on namespace_histories.no = events.task"
    )
});

pub(crate) static NAMESPACE_HEAD: Sql = Sql::new(|| {
    let end = NamespaceRow::select_list();
    format!("select {end} from namespace_histories where namespace = ?")
});

pub(crate) static REQUEST: Sql = Sql::new(|| {
    let request = RequestRow::select_list();
    format!("select {request} from requests where namespace = ? and id = ?")
});

/// All that are remembered, by their names, behind one of these.
pub(crate) static REQUESTS_BEHIND: Sql = Sql::new(|| {
    let request = RequestRow::select_list();
    format!(
        "select namespace, id, {request} from requests where (namespace, id) > (?, ?) order by namespace, id limit ?"
    )
});

pub(crate) static TOKENS: Sql = Sql::new(|| format!("{} order by no", select_tokens()));
/// The newest of that name. Older ones of it are revoked.
pub(crate) static TOKEN_BY_NAME: Sql =
    Sql::new(|| format!("{} where name = ? order by no desc limit 1", select_tokens()));
pub(crate) static TOKEN_BY_HASH: Sql = Sql::new(|| format!("{} where hash = ?", select_tokens()));

fn select_tokens() -> String {
    format!("select {} from tokens", TokenRow::select_list())
}

// ---- what is written ---------------------------------------------------------------------------------------------

pub(crate) static INSERT_TASK: Sql = Sql::new(|| insert::<TaskRow<'_>>("insert", &["no"]));
pub(crate) static INSERT_DUE: Sql = Sql::new(|| insert::<DueRow<'_>>("insert", &["task"]));
pub(crate) static INSERT_COMPENSATION: Sql = Sql::new(|| insert::<CompensationRow<'_>>("insert", &["task"]));
pub(crate) static INSERT_EVENT: Sql = Sql::new(|| insert::<EventRow<'_>>("insert", &["\"order\"", "task"]));
pub(crate) static INSERT_NAMESPACE: Sql =
    Sql::new(|| insert::<NamespaceRow<'_>>("insert", &["no", "namespace"]));
pub(crate) static INSERT_TOKEN: Sql = Sql::new(|| insert::<TokenRow<'_>>("insert", &[]));
pub(crate) static PUT_REQUEST: Sql =
    Sql::new(|| insert::<RequestRow<'_>>("insert or replace", &["namespace", "id"]));

/// The end of a namespace's history.
pub(crate) static UPDATE_NAMESPACE: Sql = Sql::new(|| {
    let changes = join_names(NamespaceRow::COLUMNS, |name| format!("{name} = ?"));
    format!("update namespace_histories set {changes} where no = ?")
});

pub(crate) static UPDATE_TASK: LazyLock<Update> =
    LazyLock::new(|| Update::of::<TaskRow<'_>>("no", ChangedBy::COMMANDS));
/// Of a task that has ended.
pub(crate) static UPDATE_NOTES: LazyLock<Update> =
    LazyLock::new(|| Update::of::<TaskRow<'_>>("no", &[ChangedBy::Note]));
pub(crate) static UPDATE_PUT_FIELDS: LazyLock<Update> =
    LazyLock::new(|| Update::of::<TaskRow<'_>>("no", &[ChangedBy::Put]));
pub(crate) static UPDATE_COMPENSATION: LazyLock<Update> =
    LazyLock::new(|| Update::of::<CompensationRow<'_>>("task", &[ChangedBy::Command]));
pub(crate) static RENEW_DUE: LazyLock<Update> =
    LazyLock::new(|| Update::of::<DueRow<'_>>("task", &[ChangedBy::Heartbeat]));

/// All columns behind those of the key.
fn insert<'a, R: TableRow<'a>>(verb: &str, key: &[&str]) -> String {
    let columns = R::COLUMNS.iter().map(|column| column.name);
    let names: Vec<&str> = key.iter().copied().chain(columns).collect();
    let places = vec!["?"; names.len()].join(", ");
    format!("{verb} into {} ({}) values ({places})", R::TABLE, names.join(", "))
}

/// An update of one row, and the positions in its table's list of the columns that are its parameters: a heartbeat does
/// not search the list for them.
pub(crate) struct Update {
    table: &'static str,
    pub(crate) text: String,
    changed: Vec<usize>,
    expected: Vec<usize>,
}

impl Update {
    /// Writes the columns that this changes. Its parameters are those columns, then the key, then what must still be as it
    /// was read.
    fn of<'a, R: TableRow<'a>>(key: &str, by: &'static [ChangedBy]) -> Update {
        let changes = join_names(R::changed_by(by), |name| format!("{name} = ?"));
        let expected: String = R::expected().map(|column| format!(" and {} = ?", column.name)).collect();
        let positions = |is_one: &dyn Fn(&Column<'a, R>) -> bool| {
            let columns = R::COLUMNS.iter().enumerate();
            columns.filter(|(_, column)| is_one(column)).map(|(at, _)| at).collect()
        };
        Update {
            table: R::TABLE,
            text: format!("update {} set {changes} where {key} = ?{expected}", R::TABLE),
            changed: positions(&|column| column.is_changed_by(by)),
            expected: positions(&Column::is_expected),
        }
    }

    /// Its parameters, for the row with that key.
    pub(crate) fn parameters<'a, R: TableRow<'a>>(
        &self,
        key: i64,
        before: R,
        after: R,
    ) -> impl Iterator<Item = ColumnValue<'a>> {
        debug_assert_eq!(self.table, R::TABLE, "the positions are those of another table");
        let changed = self.changed.iter().map(move |at| (R::COLUMNS[*at].value)(after));
        let expected = self.expected.iter().map(move |at| (R::COLUMNS[*at].value)(before));
        changed.chain([ColumnValue::Number(key)]).chain(expected)
    }
}
