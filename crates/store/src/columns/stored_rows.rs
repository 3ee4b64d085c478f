//! What the rows of a task must be, from the same lists of columns that the stores write by. An audit compares what is stored
//! with what it makes of the task that the history tells: so a column can't be written and stay out of the comparison.

use tenure_core::chain::Hash;
use tenure_core::task::Task;

use super::column::{Column, TableRow};
use super::due::DueRow;
use super::namespaces::NamespaceRow;
use super::tasks::TaskRow;
use crate::due::Due;
use crate::namespace_history::NamespaceHead;
use crate::stored::StoredRow;

/// The rows that a task has, in every table but that of events.
pub fn rows_of<'a>(task: &'a Task, head: &'a Hash) -> Vec<StoredRow<'a>> {
    let mut rows = vec![stored_row(TaskRow { task, head })];
    rows.extend(Due::of(task).map(|due| stored_row(DueRow::of(task, &due)).into_owned()));
    rows.extend(task.checkpoint.as_ref().map(|checkpoint| StoredRow {
        table: "checkpoints".into(),
        columns: vec![("checkpoint".into(), checkpoint.into())],
    }));
    rows.extend(task.compensations.iter().map(stored_row));
    rows
}

/// The rows of a task that can be kept beside it.
pub fn owned_rows_of(task: &Task, head: &Hash) -> Vec<StoredRow<'static>> {
    rows_of(task, head).into_iter().map(StoredRow::into_owned).collect()
}

/// The row that a namespace with a history of its own has.
pub fn row_of_namespace(end: &NamespaceHead) -> StoredRow<'_> {
    stored_row::<NamespaceRow<'_>>(end)
}

fn stored_row<'a, R: TableRow<'a>>(row: R) -> StoredRow<'a> {
    let named = |column: &Column<'a, R>| (column.name.into(), (column.value)(row));
    StoredRow { table: R::TABLE.into(), columns: R::COLUMNS.iter().map(named).collect() }
}
