//! SQLite's rows for [`crate::store::columns`], and the faults of this store.

use rusqlite::types::ToSqlOutput;
use rusqlite::{Connection, ToSql, params};
use tenure_core::compensation::Compensation;
use tenure_core::id::{Document, Namespace, TaskId};
use tenure_core::refusal::Refusal;

use crate::error::Error;
use crate::store::columns::{
    Impossible, Policies, Row, TASK_COLUMN_COUNT, TaskParts, compensation_count, read_compensation, read_due,
    read_task,
};
use crate::store::execute::StoredTask;
use crate::store::sqlite::open::Database;
use crate::store::sqlite::sql;
use crate::store::stored::ColumnValue;

/// What is wrong with the store: SQLite says so, or what it gives can't be.
#[derive(Debug)]
pub(crate) enum Fault {
    Sqlite(rusqlite::Error),
    Broken(String),
}

impl Fault {
    /// What it means to a caller: nothing was committed.
    pub(crate) fn of(&self, database: &Database) -> Error {
        match self {
            Fault::Sqlite(error) => database.fault(error),
            Fault::Broken(what) => Error::Corrupt(format!("{}: {what}", database.path.display())),
        }
    }
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Fault {
        Fault::Sqlite(error)
    }
}

/// A stored name that breaks its limits: somebody else wrote it.
impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Fault {
        Fault::Broken(format!("a stored value is invalid: {refusal}"))
    }
}

impl From<Impossible> for Fault {
    fn from(Impossible(what): Impossible) -> Fault {
        Fault::Broken(what)
    }
}

pub(crate) type Found<T> = Result<T, Fault>;

impl Row for rusqlite::Row<'_> {
    type Fault = Fault;

    fn name(&self, at: usize) -> &str {
        self.as_ref().column_name(at).unwrap_or("?")
    }

    fn text(&self, at: usize) -> Found<Option<&str>> {
        Ok(self.get_ref(at)?.as_str_or_null().map_err(rusqlite::Error::from)?)
    }

    fn number(&self, at: usize) -> Found<Option<i64>> {
        Ok(self.get_ref(at)?.as_i64_or_null().map_err(rusqlite::Error::from)?)
    }

    fn truth(&self, at: usize) -> Found<bool> {
        Ok(self.get(at)?)
    }

    fn bytes(&self, at: usize) -> Found<Option<&[u8]>> {
        Ok(self.get_ref(at)?.as_blob_or_null().map_err(rusqlite::Error::from)?)
    }
}

impl ToSql for ColumnValue<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        match self {
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
) -> Found<Option<StoredTask>> {
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
) -> Found<StoredTask> {
    let checkpoint = row.optional(TASK_COLUMN_COUNT, Document::new)?;
    let due = read_due(row, TASK_COLUMN_COUNT + 1)?;
    let mut stored = read_task(row, policies, TaskParts { due, checkpoint, ..TaskParts::default() })?;
    if compensation_count(row)? != 0 {
        stored.task.compensations = read_compensations(connection, stored.row)?;
    }
    Ok(stored)
}

fn read_compensations(connection: &Connection, no: i64) -> Found<Vec<Compensation>> {
    let mut statement = connection.prepare_cached(&sql::COMPENSATIONS)?;
    let mut rows = statement.query(params![no])?;
    let mut compensations = Vec::new();
    while let Some(row) = rows.next()? {
        compensations.push(read_compensation(row, 0)?);
    }
    Ok(compensations)
}
