//! Reads the table `task_sagas`, in which another program kept its tasks before it moved here. It reads what is there as text and
//! judges nothing: the import does.

use std::path::Path;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, OpenFlags, Row};
use tenure_store::{Error, Failure};

use crate::paths::beside;

/// A row of the table, each column as text; none where it is null, or where an older file has no such column.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TaskSagaRow {
    /// The number of the row, by which it is found again. In a view and in a table without such numbers: its place by `task_id`.
    pub number: i64,
    /// The first column whose bytes are not UTF-8; here they are replaced.
    pub not_utf8: Option<&'static str>,
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

/// Why a table can't be read.
#[derive(Debug)]
pub enum TaskSagasError {
    /// There is no such file, or it has no such table: another one must be given.
    Missing(String),
    /// SQLite can't read it now.
    Unreadable(Error),
}

/// The rows of the table in that file with numbers above `after`, in their order, at most `limit`. The file is not changed, and may
/// be in use.
pub fn read_task_sagas(path: &Path, after: i64, limit: u32) -> Result<Vec<TaskSagaRow>, TaskSagasError> {
    let shown = path.display();
    if path.is_dir() {
        return Err(TaskSagasError::Missing(format!("{shown} is a directory; give an SQLite file")));
    }
    if !path.is_file() {
        return Err(TaskSagasError::Missing(format!("there is no file {shown}")));
    }
    let fault = |fault: rusqlite::Error| fault_of(path, fault);
    let connection = Connection::open_with_flags(path, flags_for(path)).map_err(fault)?;
    connection.pragma_update(None, "query_only", true).map_err(fault)?;
    let present = columns_of(&connection).map_err(fault)?;
    let is_present = |column: &str| present.iter().any(|one| one.eq_ignore_ascii_case(column));
    if !is_present(COLUMNS[0]) {
        let words = format!("{shown} has no table `task_sagas` with a column `{}`", COLUMNS[0]);
        return Err(TaskSagasError::Missing(words));
    }
    let columns = COLUMNS.map(|column| if is_present(column) { column } else { "null" }).join(", ");
    let number = ["rowid", "_rowid_", "oid"].into_iter().find(|name| !is_present(name));
    let number = number.filter(|_| has_numbers(&connection).is_ok_and(|has| has));
    let (sql, from) = match number {
        Some(number) => {
            let from = format!("from task_sagas where {number} > ?1 order by {number}");
            (format!("select {number}, {columns} {from} limit ?2"), after)
        }
        None => {
            let from = "from task_sagas order by task_id";
            (format!("select 0, {columns} {from} limit ?2 offset ?1"), after.max(0))
        }
    };
    let mut statement = connection.prepare(&sql).map_err(fault)?;
    let rows = statement.query_map((from, limit), row_of).map_err(fault)?;
    let mut rows = rows.collect::<Result<Vec<_>, _>>().map_err(fault)?;
    if number.is_none() {
        rows.iter_mut().zip(from + 1..).for_each(|(row, place)| row.number = place);
    }
    Ok(rows)
}

/// A file in write-ahead mode can't be read without two files beside it. Only a connection that may write deletes them when it
/// closes; it would also finish what another program left in them or in a journal, so it opens only a file that has neither.
fn flags_for(path: &Path) -> OpenFlags {
    let has_beside = |ending: &str| beside(path, ending).exists();
    let access = match has_beside("-wal") || has_beside("-journal") {
        true => OpenFlags::SQLITE_OPEN_READ_ONLY,
        false => OpenFlags::SQLITE_OPEN_READ_WRITE,
    };
    access | OpenFlags::SQLITE_OPEN_NO_MUTEX
}

/// What happened, and what to do about it.
fn fault_of(path: &Path, fault: rusqlite::Error) -> TaskSagasError {
    let shown = path.display();
    let way_out = match fault.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => {
            return TaskSagasError::Missing(format!("{shown} is no SQLite file: {fault}"));
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            "another program has locked it; repeat the command when that has ended"
        }
        Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly) => {
            "reading it takes the right to read it, and after an interrupted write, or in write-ahead mode, the right to write in its \
                folder: open it with its own program once, or copy it elsewhere with the files beside it"
        }
        Some(_) | None => "see whether its own program can open it",
    };
    let words = format!("{shown} can't be read: {fault}; {way_out}");
    TaskSagasError::Unreadable(Error::Unavailable(Failure::new(words, fault)))
}

fn columns_of(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut names = connection.prepare("select name from pragma_table_xinfo('task_sagas')")?;
    names.query_map([], |row| row.get(0))?.collect()
}

/// Whether its rows have numbers: those of a view and of a table `without rowid` have none.
fn has_numbers(connection: &Connection) -> rusqlite::Result<bool> {
    let sql = "select type = 'table' and wr = 0 from pragma_table_list where schema = 'main' and name = 'task_sagas' collate nocase";
    connection.query_row(sql, [], |row| row.get(0))
}

fn row_of(row: &Row<'_>) -> rusqlite::Result<TaskSagaRow> {
    let mut not_utf8 = None;
    let mut text = |at: usize| {
        let (text, is_utf8) = text_of(row.get_ref(at + 1)?);
        if !is_utf8 {
            not_utf8 = not_utf8.or(Some(COLUMNS[at]));
        }
        Ok::<_, rusqlite::Error>(text)
    };
    Ok(TaskSagaRow {
        number: row.get(0)?,
        task_id: text(0)?,
        saga_id: text(1)?,
        state: text(2)?,
        issue: text(3)?,
        branch: text(4)?,
        worktree: text(5)?,
        compensations_json: text(6)?,
        lease_owner: text(7)?,
        lease_expires_at: text(8)?,
        last_heartbeat_at: text(9)?,
        terminal_reason: text(10)?,
        not_utf8,
    })
}

/// SQLite keeps what it is given: an issue may be a number. False: these are no letters.
fn text_of(value: ValueRef<'_>) -> (Option<String>, bool) {
    match value {
        ValueRef::Null => (None, true),
        ValueRef::Integer(number) => (Some(number.to_string()), true),
        ValueRef::Real(number) => (Some(number.to_string()), true),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
            let text = String::from_utf8_lossy(bytes).into_owned();
            (Some(text), std::str::from_utf8(bytes).is_ok())
        }
    }
}
