//! SQLite's rows for [`tenure_store::columns`], and the faults of this store.

use std::sync::Arc;

use rusqlite::types::ToSqlOutput;
use rusqlite::{Connection, ToSql, params};
use tenure_core::compensation::Compensation;
use tenure_core::id::{Document, Namespace, TaskId};
use tenure_core::limit::InvalidField;
use tenure_store::Error;
use tenure_store::columns::{
    Impossible, Policies, Row, TASK_COLUMN_COUNT, TaskParts, compensation_count, read_compensation, read_due,
    read_task,
};
use tenure_store::rows::StoredTask;
use tenure_store::stored::ColumnValue;

use crate::open::SqliteFile;
use crate::sql;

/// Why a statement failed: SQLite reported an error, or returned an impossible value.
#[derive(Debug)]
pub(crate) enum SqliteError {
    Sqlite(rusqlite::Error),
    Broken(String),
}

impl SqliteError {
    /// What it means to a caller: nothing was committed.
    pub(crate) fn of(self, database: &SqliteFile) -> Error {
        match self {
            SqliteError::Sqlite(error) => database.fault(error),
            SqliteError::Broken(what) => {
                Error::Corrupt(format!("{}: {what}", database.path.display()).into())
            }
        }
    }
}

impl From<rusqlite::Error> for SqliteError {
    fn from(error: rusqlite::Error) -> SqliteError {
        SqliteError::Sqlite(error)
    }
}

/// A stored name that breaks its limits: somebody else wrote it.
impl From<InvalidField> for SqliteError {
    fn from(invalid: InvalidField) -> SqliteError {
        SqliteError::Broken(format!("a stored value is invalid: {invalid}"))
    }
}

impl From<Impossible> for SqliteError {
    fn from(Impossible(what): Impossible) -> SqliteError {
        SqliteError::Broken(what)
    }
}

pub(crate) type SqliteResult<T> = Result<T, SqliteError>;

/// A row that SQLite gave.
pub(crate) struct SqliteRow<'r>(pub(crate) &'r rusqlite::Row<'r>);

impl Row for SqliteRow<'_> {
    type Fault = SqliteError;

    fn name(&self, at: usize) -> &str {
        self.0.as_ref().column_name(at).unwrap_or("?")
    }

    fn text(&self, at: usize) -> SqliteResult<Option<&str>> {
        Ok(self.0.get_ref(at)?.as_str_or_null().map_err(rusqlite::Error::from)?)
    }

    fn number(&self, at: usize) -> SqliteResult<Option<i64>> {
        Ok(self.0.get_ref(at)?.as_i64_or_null().map_err(rusqlite::Error::from)?)
    }

    fn truth(&self, at: usize) -> SqliteResult<bool> {
        Ok(self.0.get(at)?)
    }

    fn bytes(&self, at: usize) -> SqliteResult<Option<&[u8]>> {
        Ok(self.0.get_ref(at)?.as_blob_or_null().map_err(rusqlite::Error::from)?)
    }
}

/// A parameter of a statement.
pub(crate) struct SqliteValue<'a>(pub(crate) ColumnValue<'a>);

impl ToSql for SqliteValue<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        match &self.0 {
            ColumnValue::Null => Ok(ToSqlOutput::from(rusqlite::types::Null)),
            ColumnValue::Number(number) => number.to_sql(),
            ColumnValue::Text(text) => text.to_sql(),
            ColumnValue::Bytes(bytes) => bytes.to_sql(),
        }
    }
}

/// The task of that name, with its row and head.
pub(crate) fn find_task(
    connection: &Connection,
    policies: &mut Policies,
    namespace: &Namespace,
    id: &TaskId,
) -> SqliteResult<Option<StoredTask>> {
    let mut statement = connection.prepare_cached(&sql::TASK)?;
    let mut rows = statement.query(params![namespace.as_str(), id.as_str()])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    read_whole(connection, policies, row).map(Some)
}

/// The task of a row of [`sql::SELECT_TASKS`].
pub(crate) fn read_whole(
    connection: &Connection,
    policies: &mut Policies,
    row: &rusqlite::Row<'_>,
) -> SqliteResult<StoredTask> {
    let row = &SqliteRow(row);
    let checkpoint = row.optional(TASK_COLUMN_COUNT, Document::new)?;
    let due = read_due(row, TASK_COLUMN_COUNT + 1)?;
    let mut stored = read_task(row, policies, TaskParts { due, checkpoint, ..TaskParts::default() })?;
    if compensation_count(row)? != 0 {
        Arc::make_mut(&mut stored.task).compensations = read_compensations(connection, stored.row)?;
    }
    Ok(stored)
}

fn read_compensations(connection: &Connection, no: i64) -> SqliteResult<Vec<Compensation>> {
    let mut statement = connection.prepare_cached(&sql::COMPENSATIONS)?;
    let mut rows = statement.query(params![no])?;
    let mut compensations = Vec::new();
    while let Some(row) = rows.next()? {
        compensations.push(read_compensation(&SqliteRow(row), 0)?);
    }
    Ok(compensations)
}
