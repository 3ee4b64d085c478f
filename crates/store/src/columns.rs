//! The columns of the tables `tasks`, `due`, `compensations`, `events`, `namespace_histories`, `requests` and `tokens`, written down once: `columns/` has a list for
//! each, and below it the reader of its rows.
//! The statements of SQLite and PostgreSQL, their parameters, and the positions of columns in rows follow from the lists.
//!
//! A new column is a line in its list, a line in its reader, and a migration of each database. What is read is checked like
//! what comes from outside, because another program may have written it.

mod column;
mod compensations;
mod due;
mod events;
mod namespaces;
mod requests;
mod row;
mod stored_rows;
mod tasks;
#[cfg(test)]
mod tests;
mod tokens;

pub use crate::at;
pub use column::{ChangedBy, Column, ColumnType, TableRow, column_count, join_names, position};
pub use compensations::{CompensationRow, read_compensation};
pub use due::{DueRow, read_due};
pub use events::{EventRow, read_event, read_stored_event};
pub use namespaces::{NamespaceRow, read_namespace_head};
pub use requests::{RequestRow, read_request};
pub use row::{Impossible, Row, RowPart, impossible};
pub use stored_rows::{owned_rows_of, row_of_namespace, rows_of};
pub use tasks::{
    Policies, TASK_COLUMN_COUNT, TaskParts, TaskRow, compensation_count, is_planned, read_task,
    read_task_key, task_select_list,
};
pub use tokens::{TokenRow, read_token};
