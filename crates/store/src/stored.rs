//! The rows that a store has for a task, column by column, without any trust in them.

use std::borrow::Cow;

use tenure_core::chain::Hash;
use tenure_core::event::Subject;
use tenure_core::id::{
    Actor, Document, Kind, Namespace, Owner, Progress, Queue, Reason, SagaId, TaskId, Text, UndoKey,
};
use tenure_core::time::{Span, Time};

use crate::numbers;

/// The chain of a task, or of a namespace itself, as it is stored, to be verified. Nothing of it is trusted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredChain {
    /// The number of the task's row, for people who look for it.
    pub row: i64,
    /// Its name; none if nothing tells it, or the stored value is not a name.
    pub name: Option<(Namespace, Subject)>,
    /// The name in its row; none if it has no row.
    pub stored_name: Option<String>,
    /// Its rows in all tables but that of events.
    pub rows: Vec<StoredRow<'static>>,
    /// Inconsistent columns that only this store has.
    pub apart: Vec<String>,
    /// Its events by their place.
    pub events: Vec<StoredEvent>,
}

impl StoredChain {
    /// A chain without a task row: a removed task leaves its events behind, or rows were added that belong to
    /// no task.
    pub fn without_task(row: i64, name: Option<(Namespace, Subject)>) -> StoredChain {
        StoredChain { row, name, stored_name: None, rows: Vec::new(), apart: Vec::new(), events: Vec::new() }
    }

    /// Whether it is the chain of a namespace itself.
    pub fn is_of_namespace(&self) -> bool {
        matches!(self.name, Some((_, Subject::Namespace)))
    }

    /// Whether it is the chain of a task that has a row.
    pub fn is_of_stored_task(&self) -> bool {
        self.stored_name.is_some() && !self.is_of_namespace()
    }

    /// The value that the row of the task or of the namespace has in one of these columns.
    fn own_column(&self, of_task: &str, of_namespace: &str) -> Option<&ColumnValue<'static>> {
        self.rows.iter().find_map(|row| match &*row.table {
            "tasks" => row.value(of_task),
            "namespace_histories" => row.value(of_namespace),
            _ => None,
        })
    }

    /// The number of its newest event, as its row has it.
    pub fn revision(&self) -> Option<u64> {
        match self.own_column("revision", "number")? {
            ColumnValue::Number(number) => u64::try_from(*number).ok(),
            ColumnValue::Null | ColumnValue::Text(_) | ColumnValue::Bytes(_) => None,
        }
    }

    /// The hash of its newest event, as its row has it.
    pub fn head(&self) -> Option<Hash> {
        match self.own_column("head", "head")? {
            ColumnValue::Bytes(bytes) => <[u8; 32]>::try_from(bytes.as_ref()).ok().map(Hash),
            ColumnValue::Null | ColumnValue::Text(_) | ColumnValue::Number(_) => None,
        }
    }
}

/// A row of a table, without the columns by which it was looked up.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredRow<'a> {
    /// The table.
    pub table: Cow<'a, str>,
    /// Its columns by name.
    pub columns: Vec<(Cow<'a, str>, ColumnValue<'a>)>,
}

impl<'a> StoredRow<'a> {
    /// The value of a column; none if there is no such column.
    pub fn value(&self, column: &str) -> Option<&ColumnValue<'a>> {
        self.columns.iter().find(|(name, _)| name == column).map(|(_, value)| value)
    }

    /// The same without borrowing from the task.
    #[doc(hidden)]
    pub fn into_owned(self) -> StoredRow<'static> {
        let columns = self.columns.into_iter();
        StoredRow {
            table: self.table.into_owned().into(),
            columns: columns.map(|(name, value)| (name.into_owned().into(), value.into_owned())).collect(),
        }
    }
}

/// The value of a column. A boolean is 0 or 1, as in SQLite.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ColumnValue<'a> {
    /// Nothing.
    Null,
    /// A number, a time or a boolean.
    Number(i64),
    /// A text.
    Text(Cow<'a, str>),
    /// Bytes, and a text that is not UTF-8.
    Bytes(Cow<'a, [u8]>),
}

impl ColumnValue<'_> {
    fn into_owned(self) -> ColumnValue<'static> {
        match self {
            ColumnValue::Null => ColumnValue::Null,
            ColumnValue::Number(number) => ColumnValue::Number(number),
            ColumnValue::Text(text) => ColumnValue::Text(text.into_owned().into()),
            ColumnValue::Bytes(bytes) => ColumnValue::Bytes(bytes.into_owned().into()),
        }
    }
}

/// Numbers as a column has them.
macro_rules! number_values {
    ($($type:ty => |$number:ident| $value:expr),* $(,)?) => { $(
        impl From<$type> for ColumnValue<'_> {
            fn from($number: $type) -> Self {
                ColumnValue::Number($value)
            }
        }
    )* };
}
number_values!(
    i64 => |number| number,
    i32 => |number| number.into(),
    u32 => |number| number.into(),
    u64 => |number| numbers::number(number),
    bool => |truth| truth.into(),
    Time => |time| time.as_micros(),
    Span => |span| numbers::length(span),
);

/// Texts as a column has them.
macro_rules! text_values {
    ($($type:ty),* $(,)?) => { $(
        impl<'a> From<&'a $type> for ColumnValue<'a> {
            fn from(text: &'a $type) -> Self {
                ColumnValue::Text(text.as_str().into())
            }
        }
    )* };
}
text_values!(Actor, Document, Kind, Namespace, Owner, Progress, Queue, Reason, SagaId, TaskId, Text, UndoKey);

impl<'a> From<&'a str> for ColumnValue<'a> {
    fn from(text: &'a str) -> Self {
        ColumnValue::Text(text.into())
    }
}

impl From<String> for ColumnValue<'_> {
    fn from(text: String) -> Self {
        ColumnValue::Text(text.into())
    }
}

impl<'a> From<&'a Hash> for ColumnValue<'a> {
    fn from(hash: &'a Hash) -> Self {
        ColumnValue::Bytes(hash.0.as_slice().into())
    }
}

impl<'a, T: Into<ColumnValue<'a>>> From<Option<T>> for ColumnValue<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(ColumnValue::Null, T::into)
    }
}

/// An event as it is stored, not verified yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredEvent {
    /// Its place among all events.
    pub order: i64,
    /// Its number within the task or the namespace.
    pub number: i64,
    /// When it says that it happened, in microseconds.
    pub at: i64,
    /// Who made it happen.
    pub actor: String,
    /// Its type.
    pub kind: String,
    /// What happened.
    pub data: String,
    /// Its hash.
    pub hash: Vec<u8>,
}
