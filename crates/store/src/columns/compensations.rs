//! The table `compensations`.

use tenure_api::wire::Word;
use tenure_core::compensation::{Compensation, Undo};
use tenure_core::id::{Actor, Epoch, Kind, Reason, Seq, Text as TextValue, UndoKey};

use super::column::ChangedBy::{Command, Nothing};
use super::column::ColumnType::{Number, Text};
use super::column::{Column, TableRow};
use super::row::Row;
use crate::at;
use crate::numbers::unsigned;

/// What a row of `compensations` is made of.
pub type CompensationRow<'a> = &'a Compensation;

impl<'a> TableRow<'a> for CompensationRow<'a> {
    const TABLE: &'static str = "compensations";
    const COLUMNS: &'a [Column<'a, Self>] = &[
        Column::expected("seq", Number, Nothing, |one| one.seq.0.into()),
        Column::new("kind", Text, Nothing, |one| (&one.undo.kind).into()),
        Column::new("target", Text, Nothing, |one| (&one.undo.target).into()),
        Column::new("reason", Text, Nothing, |one| one.undo.reason.as_ref().into()),
        Column::new("registered", Text, Nothing, |one| one.registered.word().into()),
        Column::new("status", Text, Command, |one| one.status.word().into()),
        Column::new("epoch", Number, Command, |one| one.epoch.map(|epoch| epoch.0).into()),
        Column::new("key", Text, Command, |one| one.key.as_ref().into()),
        Column::new("tries", Number, Command, |one| one.tries.into()),
        Column::new("receipt", Text, Command, |one| one.receipt.as_ref().into()),
        Column::new("last_error", Text, Command, |one| one.last_error.as_ref().into()),
        Column::new("waiver", Text, Command, |one| one.waiver.as_ref().into()),
        Column::new("settled_by", Text, Command, |one| one.settled_by.as_ref().into()),
    ];
}

/// The compensation whose columns begin at `first`.
pub fn read_compensation<R: Row>(row: &R, first: usize) -> Result<Compensation, R::Fault> {
    let row = row.starting_at(first);
    Ok(Compensation {
        seq: Seq(row.small(at!(CompensationRow, "seq"))?),
        undo: Undo {
            kind: Kind::new(row.a_text(at!(CompensationRow, "kind"))?)?,
            target: TextValue::new(row.a_text(at!(CompensationRow, "target"))?)?,
            reason: row.optional(at!(CompensationRow, "reason"), Reason::new)?,
        },
        registered: row.word(at!(CompensationRow, "registered"))?,
        status: row.word(at!(CompensationRow, "status"))?,
        epoch: row.number(at!(CompensationRow, "epoch"))?.map(|epoch| Epoch(unsigned(epoch))),
        key: row.optional(at!(CompensationRow, "key"), UndoKey::new)?,
        tries: row.small(at!(CompensationRow, "tries"))?,
        receipt: row.optional(at!(CompensationRow, "receipt"), TextValue::new)?,
        settled_by: row.optional(at!(CompensationRow, "settled_by"), Actor::new)?,
        last_error: row.optional(at!(CompensationRow, "last_error"), TextValue::new)?,
        waiver: row.optional(at!(CompensationRow, "waiver"), Reason::new)?,
    })
}
