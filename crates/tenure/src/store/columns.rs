//! The columns of the tables `tasks`, `due`, `compensations`, `events` and `requests`, written down once: `columns/` has a list for
//! each, and below it the reader of its rows.
//! The statements of SQLite and PostgreSQL, their parameters, and the positions of columns in rows follow from the lists.
//!
//! A new column is a line in its list, a line in its reader, and a migration of each database. What is read is checked like
//! what comes from outside, because another program may have written it.

mod compensations;
mod due;
mod events;
mod requests;
mod tasks;

use tenure_core::chain::Hash;
use tenure_core::limit::InvalidField;
use tenure_core::time::{Span, Time};

pub(crate) use compensations::{CompensationRow, read_compensation};
pub(crate) use due::{DueRow, read_due};
pub(crate) use events::{EventRow, read_event, read_stored_event};
pub(crate) use requests::{RequestRow, read_request};
#[cfg(feature = "postgres")]
pub(crate) use tasks::read_task_key;
pub(crate) use tasks::{
    Policies, TASK_COLUMN_COUNT, TaskParts, TaskRow, compensation_count, read_task, task_select_list,
};

use crate::store::stored::ColumnValue;
use crate::wire::Word;

/// A column of a table whose rows are made of an `R`.
pub(crate) struct Column<'a, R> {
    pub(crate) name: &'static str,
    #[cfg_attr(
        not(any(feature = "postgres", test)),
        expect(dead_code, reason = "only statements of PostgreSQL name the types of columns")
    )]
    pub(crate) kind: ColumnType,
    changed_by: ChangedBy,
    is_expected: bool,
    is_read: bool,
    /// What a row has in it.
    pub(crate) value: fn(R) -> ColumnValue<'a>,
}

/// What a column holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ColumnType {
    Text,
    /// A number, a time, a span.
    Number,
    Truth,
    Bytes,
}

impl ColumnType {
    /// What PostgreSQL calls an array of such values.
    #[cfg(feature = "postgres")]
    pub(crate) fn array(self) -> &'static str {
        match self {
            ColumnType::Text => "text[]",
            ColumnType::Number => "bigint[]",
            ColumnType::Truth => "boolean[]",
            ColumnType::Bytes => "bytea[]",
        }
    }
}

/// What changes a column after its row was inserted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ChangedBy {
    Nothing,
    /// Any command.
    Command,
    /// Only a put.
    Put,
    /// Only heartbeats and progress.
    Heartbeat,
    /// Only a heartbeat at or after `check_at`: once a ttl, because the column is in an index.
    LateHeartbeat,
}

impl<'a, R> Column<'a, R> {
    const fn new(
        name: &'static str,
        kind: ColumnType,
        changed_by: ChangedBy,
        value: fn(R) -> ColumnValue<'a>,
    ) -> Self {
        Column { name, kind, changed_by, is_expected: false, is_read: true, value }
    }

    /// One that must still be as it was read, or an update of the row fails.
    const fn expected(
        name: &'static str,
        kind: ColumnType,
        changed_by: ChangedBy,
        value: fn(R) -> ColumnValue<'a>,
    ) -> Self {
        Column { is_expected: true, ..Column::new(name, kind, changed_by, value) }
    }

    /// One that repeats values of other columns for lists and indexes. No reader reads it.
    const fn write_only(
        name: &'static str,
        kind: ColumnType,
        changed_by: ChangedBy,
        value: fn(R) -> ColumnValue<'a>,
    ) -> Self {
        Column { is_read: false, ..Column::new(name, kind, changed_by, value) }
    }
}

/// What a row is made of, and the columns of its table.
pub(crate) trait TableRow<'a>: Copy + 'a {
    const TABLE: &'static str;
    /// All but the key by which a database finds the row of a task.
    const COLUMNS: &'a [Column<'a, Self>];

    /// The columns that one of these changes.
    fn changed_by(by: &'static [ChangedBy]) -> impl Iterator<Item = &'a Column<'a, Self>> {
        Self::COLUMNS.iter().filter(|column| by.contains(&column.changed_by))
    }

    /// The columns that must still be as they were read, or an update of the row fails.
    fn expected() -> impl Iterator<Item = &'a Column<'a, Self>> {
        Self::COLUMNS.iter().filter(|column| column.is_expected)
    }

    /// What the row has in some columns.
    fn values(
        self,
        columns: impl Iterator<Item = &'a Column<'a, Self>>,
    ) -> impl Iterator<Item = ColumnValue<'a>> {
        columns.map(move |column| (column.value)(self))
    }

    /// The columns that are read, with their table: what a reader takes, in its order.
    fn select_list() -> String {
        let read = Self::COLUMNS.iter().filter(|column| column.is_read);
        join_names(read, |name| format!("{}.{name}", Self::TABLE))
    }
}

/// The columns between commas, each as its name makes it.
pub(crate) fn join_names<'a, R: TableRow<'a>>(
    columns: impl IntoIterator<Item = &'a Column<'a, R>>,
    each: impl Fn(&str) -> String,
) -> String {
    columns.into_iter().map(|column| each(column.name)).collect::<Vec<_>>().join(", ")
}

/// How many columns of a table are read.
pub(crate) const fn column_count<'a, R: TableRow<'a>>() -> usize {
    let (mut count, mut at) = (0, 0);
    while at < R::COLUMNS.len() {
        count += R::COLUMNS[at].is_read as usize;
        at += 1;
    }
    count
}

/// The position of a column among those of its table that are read. See [`at`].
pub(crate) const fn position<'a, R: TableRow<'a>>(name: &str) -> usize {
    let (mut position, mut at) = (0, 0);
    while at < R::COLUMNS.len() {
        let column = &R::COLUMNS[at];
        if column.is_read {
            if is_same(column.name.as_bytes(), name.as_bytes()) {
                return position;
            }
            position += 1;
        }
        at += 1;
    }
    panic!("the list of the table has no column of this name that is read")
}

/// `==`, which a constant can't say of texts.
const fn is_same(one: &[u8], other: &[u8]) -> bool {
    let mut at = 0;
    while at < one.len() && at < other.len() && one[at] == other[at] {
        at += 1;
    }
    at == one.len() && at == other.len()
}

/// The position of a column in the part of a row that holds the columns of its table, found when this is compiled. A name that
/// the list does not have is an error of the compiler.
macro_rules! at {
    ($row:ident, $name:literal) => {
        const { $crate::store::columns::position::<$row<'_>>($name) }
    };
}
pub(crate) use at;

/// A row that some database gave.
pub(crate) trait Row {
    /// What is wrong with the store.
    type Fault: From<InvalidField> + From<Impossible>;

    /// What the column is called.
    fn name(&self, at: usize) -> &str;
    fn text(&self, at: usize) -> Result<Option<&str>, Self::Fault>;
    fn number(&self, at: usize) -> Result<Option<i64>, Self::Fault>;
    fn truth(&self, at: usize) -> Result<bool, Self::Fault>;
    fn bytes(&self, at: usize) -> Result<Option<&[u8]>, Self::Fault>;

    /// A number that is always there.
    fn a_number(&self, at: usize) -> Result<i64, Self::Fault> {
        Ok(self.number(at)?.ok_or_else(|| missing(self.name(at), "a number"))?)
    }

    /// A text that is always there.
    fn a_text(&self, at: usize) -> Result<&str, Self::Fault> {
        Ok(self.text(at)?.ok_or_else(|| missing(self.name(at), "a text"))?)
    }

    fn a_time(&self, at: usize) -> Result<Time, Self::Fault> {
        self.a_number(at).map(Time::from_micros)
    }

    fn time(&self, at: usize) -> Result<Option<Time>, Self::Fault> {
        Ok(self.number(at)?.map(Time::from_micros))
    }

    fn span(&self, at: usize) -> Result<Option<Span>, Self::Fault> {
        Ok(self.number(at)?.map(|micros| Span::from_micros(unsigned(micros))))
    }

    fn hash(&self, at: usize) -> Result<Hash, Self::Fault> {
        let bytes = self.bytes(at)?.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        Ok(bytes.map(Hash).ok_or_else(|| impossible(self.name(at), "not 32 bytes"))?)
    }

    fn optional<'a, T>(
        &'a self,
        at: usize,
        new: impl FnOnce(&'a str) -> Result<T, InvalidField>,
    ) -> Result<Option<T>, Self::Fault> {
        Ok(self.text(at)?.map(new).transpose()?)
    }

    fn word<T: Word>(&self, at: usize) -> Result<T, Self::Fault> {
        let text = self.a_text(at)?;
        Ok(T::of_word(text).ok_or_else(|| impossible(self.name(at), text))?)
    }

    /// A number of a type that is narrower than a column.
    fn small<T: TryFrom<i64>>(&self, at: usize) -> Result<T, Self::Fault> {
        let number = self.a_number(at)?;
        Ok(T::try_from(number).map_err(|_| impossible(self.name(at), number))?)
    }

    /// The row from a column on: the part of it that holds the columns of one table.
    fn starting_at(&self, first: usize) -> RowPart<'_, Self> {
        RowPart { row: self, first }
    }
}

/// The part of a row that holds the columns of one table.
pub(crate) struct RowPart<'r, R: ?Sized> {
    row: &'r R,
    first: usize,
}

impl<R: Row + ?Sized> Row for RowPart<'_, R> {
    type Fault = R::Fault;

    fn name(&self, at: usize) -> &str {
        self.row.name(self.first + at)
    }

    fn text(&self, at: usize) -> Result<Option<&str>, R::Fault> {
        self.row.text(self.first + at)
    }

    fn number(&self, at: usize) -> Result<Option<i64>, R::Fault> {
        self.row.number(self.first + at)
    }

    fn truth(&self, at: usize) -> Result<bool, R::Fault> {
        self.row.truth(self.first + at)
    }

    fn bytes(&self, at: usize) -> Result<Option<&[u8]>, R::Fault> {
        self.row.bytes(self.first + at)
    }
}

/// An impossible stored value.
#[derive(Debug)]
pub(crate) struct Impossible(pub(crate) String);

pub(crate) fn impossible(column: &str, value: impl std::fmt::Display) -> Impossible {
    Impossible(format!("the column {column} contains an invalid value: {value}"))
}

/// A value that is always there is not.
fn missing(column: &str, what: &str) -> Impossible {
    Impossible(format!("the column {column} is empty, but must contain {what}"))
}

pub(crate) fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(crate) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

pub(crate) fn length(span: Span) -> i64 {
    number(span.as_micros())
}

#[cfg(test)]
mod tests;
