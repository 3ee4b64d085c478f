//! The table `requests`: the request ids that are remembered.

use tenure_core::id::Actor;

use super::column::ChangedBy::Nothing;
use super::column::ColumnType::{Bytes, Number, Text};
use super::column::{Column, TableRow};
use super::row::{Row, impossible};
use crate::at;
use crate::remembered::Request;
use crate::stored_json::{read_json, to_json};

/// What a row of `requests` is made of.
pub type RequestRow<'a> = &'a Request;

impl<'a> TableRow<'a> for RequestRow<'a> {
    const TABLE: &'static str = "requests";
    const COLUMNS: &'a [Column<'a, Self>] = &[
        Column::new("digest", Bytes, Nothing, |request| (&request.digest).into()),
        Column::new("actor", Text, Nothing, |request| (&request.actor).into()),
        Column::new("at", Number, Nothing, |request| request.at.into()),
        Column::new("answered", Text, Nothing, |request| to_json(&request.answered).into()),
    ];
}

/// The remembered request whose columns begin at `first`.
pub fn read_request<R: Row>(row: &R, first: usize) -> Result<Request, R::Fault> {
    let row = row.starting_at(first);
    let answered = row.a_text(at!(RequestRow, "answered"))?;
    Ok(Request {
        digest: row.hash(at!(RequestRow, "digest"))?,
        actor: Actor::new(row.a_text(at!(RequestRow, "actor"))?)?,
        at: row.a_time(at!(RequestRow, "at"))?,
        answered: read_json(answered).ok_or_else(|| impossible("answered", answered))?,
    })
}
