//! SQLite's rows for [`crate::store::columns`], and the faults of this store.

use rusqlite::{Connection, params};
use tenure_core::compensation::Compensation;
use tenure_core::id::{Document, Namespace, TaskId};
use tenure_core::refusal::Refusal;

use crate::error::Error;
use crate::store::columns::{
    Impossible, Parts, Policies, Row, TASK_COLUMNS, compensation_columns, compensation_count,
    read_compensation, read_due, read_task,
};
use crate::store::execute::StoredTask;
use crate::store::sqlite::open::Database;

/// A task with all that belongs to it but its compensations, as [`read_whole`] reads it.
macro_rules! concat_task_sql {
    ($rest:literal) => {
        concat!(
            "select ",
            $crate::store::columns::task_columns!(),
            ", checkpoints.checkpoint, ",
            $crate::store::columns::due_columns!(),
            " from tasks left join due on due.task = tasks.no left join checkpoints on checkpoints.task = tasks.no ",
            $rest
        )
    };
}
pub(crate) use concat_task_sql;

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

/// The task of that name, with its row and head.
pub(crate) fn find_task(
    connection: &Connection,
    policies: &mut Policies,
    namespace: &Namespace,
    id: &TaskId,
) -> Found<Option<StoredTask>> {
    let sql = concat_task_sql!("where tasks.namespace = ? and tasks.id = ?");
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params![namespace.as_str(), id.as_str()])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    read_whole(connection, policies, row).map(Some)
}

/// The task of a row of [`concat_task_sql`].
pub(crate) fn read_whole(
    connection: &Connection,
    policies: &mut Policies,
    row: &rusqlite::Row<'_>,
) -> Found<StoredTask> {
    let compensations = match compensation_count(row)? {
        0 => Vec::new(),
        _ => read_compensations(connection, row.a_number(0)?)?,
    };
    let checkpoint = row.optional(TASK_COLUMNS, Document::new)?;
    let due = read_due(row, TASK_COLUMNS + 1)?;
    read_task(row, policies, Parts { due, checkpoint, compensations })
}

fn read_compensations(connection: &Connection, no: i64) -> Found<Vec<Compensation>> {
    let sql = concat!("select ", compensation_columns!(), " from compensations where task = ? order by seq");
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params![no])?;
    let mut compensations = Vec::new();
    while let Some(row) = rows.next()? {
        compensations.push(read_compensation(row, 0)?);
    }
    Ok(compensations)
}
