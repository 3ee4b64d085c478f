//! The table `namespace_histories`: where the history of each namespace ends.

use super::column::ChangedBy::Command;
use super::column::ColumnType::{Bytes, Number};
use super::column::{Column, TableRow};
use super::row::Row;
use crate::at;
use crate::namespace_history::NamespaceHead;
use crate::numbers::unsigned;
use tenure_core::id::Revision;

/// What a row of `namespace_histories` is made of.
pub type NamespaceRow<'a> = &'a NamespaceHead;

impl<'a> TableRow<'a> for NamespaceRow<'a> {
    const TABLE: &'static str = "namespace_histories";
    const COLUMNS: &'a [Column<'a, Self>] = &[
        Column::new("number", Number, Command, |end| end.number.0.into()),
        Column::new("head", Bytes, Command, |end| (&end.head).into()),
        Column::new("updated_at", Number, Command, |end| end.updated_at.into()),
    ];
}

/// The end of the history whose columns begin at `first`.
pub fn read_namespace_head<R: Row>(row: &R, first: usize) -> Result<NamespaceHead, R::Fault> {
    let row = row.starting_at(first);
    Ok(NamespaceHead {
        number: Revision(unsigned(row.a_number(at!(NamespaceRow, "number"))?)),
        head: row.hash(at!(NamespaceRow, "head"))?,
        updated_at: row.a_time(at!(NamespaceRow, "updated_at"))?,
    })
}
