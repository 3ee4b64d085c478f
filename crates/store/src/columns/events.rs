//! The table `events`: the history.

use tenure_core::chain::Hash;
use tenure_core::event::{Event, Subject};
use tenure_core::id::{Actor, Namespace, Revision};

use super::column::ChangedBy::Nothing;
use super::column::ColumnType::{Bytes, Number, Text};
use super::column::{Column, TableRow};
use super::row::{Row, impossible};
use crate::at;
use crate::codec::{Sealed, read_data};
use crate::numbers::unsigned;

/// What a row of `events` is made of.
pub type EventRow<'a> = &'a Sealed;

impl<'a> TableRow<'a> for EventRow<'a> {
    const TABLE: &'static str = "events";
    const COLUMNS: &'a [Column<'a, Self>] = &[
        Column::new("number", Number, Nothing, |sealed| sealed.event.number.0.into()),
        Column::new("at", Number, Nothing, |sealed| sealed.event.at.into()),
        Column::new("actor", Text, Nothing, |sealed| (&sealed.event.actor).into()),
        Column::new("type", Text, Nothing, |sealed| sealed.event.what.kind().into()),
        Column::new("data", Text, Nothing, |sealed| sealed.data.as_str().into()),
        Column::new("hash", Bytes, Nothing, |sealed| (&sealed.hash).into()),
    ];
}

/// The event whose columns begin at `first`.
pub fn read_event<R: Row>(
    row: &R,
    first: usize,
    namespace: &Namespace,
    subject: &Subject,
) -> Result<Event, R::Fault> {
    let row = row.starting_at(first);
    let (kind, data) = (row.a_text(at!(EventRow, "type"))?, row.a_text(at!(EventRow, "data"))?);
    Ok(Event {
        namespace: namespace.clone(),
        subject: subject.clone(),
        number: Revision(unsigned(row.a_number(at!(EventRow, "number"))?)),
        at: row.a_time(at!(EventRow, "at"))?,
        actor: Actor::new(row.a_text(at!(EventRow, "actor"))?)?,
        what: read_data(kind, data).ok_or_else(|| impossible("data", format_args!("{kind} {data}")))?,
    })
}

/// The same, with its hash, and with its data as it is stored.
pub fn read_stored_event<R: Row>(
    row: &R,
    first: usize,
    namespace: &Namespace,
    subject: &Subject,
) -> Result<(Event, Hash, String), R::Fault> {
    let event = read_event(row, first, namespace, subject)?;
    let row = row.starting_at(first);
    Ok((event, row.hash(at!(EventRow, "hash"))?, row.a_text(at!(EventRow, "data"))?.to_owned()))
}
