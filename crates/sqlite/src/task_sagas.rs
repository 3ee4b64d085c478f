//! Reads the table `task_sagas`, in which another program kept its tasks before it moved here. It reads what is there as text and
//! judges nothing: the import does.

use std::path::Path;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags, Row};
use tenure_store::{Error, Failure};

/// A row of the table, each column as text; none where it is null, or where an older file has no such column.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TaskSagaRow {
    /// The number of the row, by which it is found again.
    pub number: i64,
    /// The name of the task.
    pub task_id: Option<String>,
    /// The name of its saga.
    pub saga_id: Option<String>,
    /// Its state.
    pub state: Option<String>,
    /// What it is about.
    pub issue: Option<String>,
    /// The branch that it works on.
    pub branch: Option<String>,
    /// Where it works.
    pub worktree: Option<String>,
    /// How to undo it, as JSON.
    pub compensations_json: Option<String>,
    /// Who holds it.
    pub lease_owner: Option<String>,
    /// Until when.
    pub lease_expires_at: Option<String>,
    /// When its holder was heard last.
    pub last_heartbeat_at: Option<String>,
    /// Why it ended.
    pub terminal_reason: Option<String>,
}

/// The columns, in the order of the fields. Only the first must be there.
const COLUMNS: [&str; 11] = [
    "task_id",
    "saga_id",
    "state",
    "issue",
    "branch",
    "worktree",
    "compensations_json",
    "lease_owner",
    "lease_expires_at",
    "last_heartbeat_at",
    "terminal_reason",
];

/// The rows of the table in that file with numbers above `after`, in their order, at most `limit`. The file is not changed, and may
/// be in use.
pub fn read_task_sagas(path: &Path, after: i64, limit: u32) -> Result<Vec<TaskSagaRow>, Error> {
    let shown = path.display();
    if !path.is_file() {
        return Err(Error::Unavailable(format!("there is no file {shown}").into()));
    }
    let fault = |fault: rusqlite::Error| {
        Error::Unavailable(Failure::new(format!("{shown} can't be read as an SQLite file"), fault))
    };
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(fault)?;
    let present = columns_of(&connection).map_err(fault)?;
    if !present.iter().any(|column| column == COLUMNS[0]) {
        let what = format!("{shown} has no table `task_sagas` with a column `{}`", COLUMNS[0]);
        return Err(Error::Unavailable(what.into()));
    }
    let wanted = COLUMNS.map(|column| match present.iter().any(|one| one == column) {
        true => column,
        false => "null",
    });
    let columns = wanted.join(", ");
    let sql = format!("select rowid, {columns} from task_sagas where rowid > ? order by rowid limit ?");
    let mut statement = connection.prepare(&sql).map_err(fault)?;
    let rows = statement.query_map((after, limit), row_of).map_err(fault)?;
    rows.collect::<Result<_, _>>().map_err(fault)
}

fn columns_of(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut names = connection.prepare("select name from pragma_table_info('task_sagas')")?;
    names.query_map([], |row| row.get(0))?.collect()
}

fn row_of(row: &Row<'_>) -> rusqlite::Result<TaskSagaRow> {
    let text = |at| Ok::<_, rusqlite::Error>(text_of(row.get_ref(at)?));
    Ok(TaskSagaRow {
        number: row.get(0)?,
        task_id: text(1)?,
        saga_id: text(2)?,
        state: text(3)?,
        issue: text(4)?,
        branch: text(5)?,
        worktree: text(6)?,
        compensations_json: text(7)?,
        lease_owner: text(8)?,
        lease_expires_at: text(9)?,
        last_heartbeat_at: text(10)?,
        terminal_reason: text(11)?,
    })
}

/// SQLite keeps what it is given: an issue may be a number.
fn text_of(value: ValueRef<'_>) -> Option<String> {
    match value {
        ValueRef::Null => None,
        ValueRef::Integer(number) => Some(number.to_string()),
        ValueRef::Real(number) => Some(number.to_string()),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
    }
}
