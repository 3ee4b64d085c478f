//! A column of a table, and lists of columns.

use crate::stored::ColumnValue;

/// A column of a table whose rows are made of an `R`.
pub struct Column<'a, R> {
    pub name: &'static str,
    pub kind: ColumnType,
    changed_by: ChangedBy,
    is_expected: bool,
    pub(super) is_read: bool,
    /// What a row has in it.
    pub value: fn(R) -> ColumnValue<'a>,
}

/// What a column holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ColumnType {
    Text,
    /// A number, a time, a span.
    Number,
    Truth,
    Bytes,
}

impl ColumnType {
    /// What PostgreSQL calls an array of such values.
    pub fn array(self) -> &'static str {
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
pub enum ChangedBy {
    Nothing,
    /// Any command, as long as the task is open.
    Command,
    /// Any command, also after the task's end.
    Note,
    /// Only a put.
    Put,
    /// Only heartbeats and progress.
    Heartbeat,
    /// Only a heartbeat at or after `check_at`: once a ttl, because the column is in an index.
    LateHeartbeat,
}

impl ChangedBy {
    /// What commands change in the row of an open task, besides what only a put changes.
    pub const COMMANDS: &'static [ChangedBy] = &[ChangedBy::Command, ChangedBy::Note];
}

impl<'a, R> Column<'a, R> {
    pub(super) const fn new(
        name: &'static str,
        kind: ColumnType,
        changed_by: ChangedBy,
        value: fn(R) -> ColumnValue<'a>,
    ) -> Self {
        Column { name, kind, changed_by, is_expected: false, is_read: true, value }
    }

    /// One that must still be as it was read, or an update of the row fails.
    pub(super) const fn expected(
        name: &'static str,
        kind: ColumnType,
        changed_by: ChangedBy,
        value: fn(R) -> ColumnValue<'a>,
    ) -> Self {
        Column { is_expected: true, ..Column::new(name, kind, changed_by, value) }
    }

    /// One that repeats values of other columns for lists and indexes. No reader reads it.
    pub(super) const fn write_only(
        name: &'static str,
        kind: ColumnType,
        changed_by: ChangedBy,
        value: fn(R) -> ColumnValue<'a>,
    ) -> Self {
        Column { is_read: false, ..Column::new(name, kind, changed_by, value) }
    }

    /// Whether one of these changes it.
    pub fn is_changed_by(&self, by: &[ChangedBy]) -> bool {
        by.contains(&self.changed_by)
    }

    /// Whether it must still be as it was read, or an update of the row fails.
    pub fn is_expected(&self) -> bool {
        self.is_expected
    }
}

/// What a row is made of, and the columns of its table.
pub trait TableRow<'a>: Copy + 'a {
    const TABLE: &'static str;
    /// All but the key by which a database finds the row of a task.
    const COLUMNS: &'a [Column<'a, Self>];

    /// The columns that one of these changes.
    fn changed_by(by: &'static [ChangedBy]) -> impl Iterator<Item = &'a Column<'a, Self>> {
        Self::COLUMNS.iter().filter(|column| column.is_changed_by(by))
    }

    /// The columns that must still be as they were read, or an update of the row fails.
    fn expected() -> impl Iterator<Item = &'a Column<'a, Self>> {
        Self::COLUMNS.iter().filter(|column| column.is_expected())
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
pub fn join_names<'a, R: TableRow<'a>>(
    columns: impl IntoIterator<Item = &'a Column<'a, R>>,
    each: impl Fn(&str) -> String,
) -> String {
    columns.into_iter().map(|column| each(column.name)).collect::<Vec<_>>().join(", ")
}

/// How many columns of a table are read.
pub const fn column_count<'a, R: TableRow<'a>>() -> usize {
    let (mut count, mut at) = (0, 0);
    while at < R::COLUMNS.len() {
        count += R::COLUMNS[at].is_read as usize;
        at += 1;
    }
    count
}

/// The position of a column among those of its table that are read. See `at!`.
pub const fn position<'a, R: TableRow<'a>>(name: &str) -> usize {
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
#[doc(hidden)]
#[macro_export]
macro_rules! at {
    ($row:ident, $name:literal) => {
        const { $crate::columns::position::<$row<'_>>($name) }
    };
}
