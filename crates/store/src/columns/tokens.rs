//! The table `tokens`: who may use a server. Secrets are stored as hashes only.

use tenure_core::id::Actor;

use super::column::ChangedBy::Nothing;
use super::column::ColumnType::{Bytes, Number, Text};
use super::column::{Column, TableRow};
use super::row::{Row, impossible};
use crate::access::{ListedToken, Token, TokenHash};
use crate::at;
use crate::stored_json::{read_json, to_json};

/// What a row of `tokens` is made of.
pub type TokenRow<'a> = &'a ListedToken;

impl<'a> TableRow<'a> for TokenRow<'a> {
    const TABLE: &'static str = "tokens";
    const COLUMNS: &'a [Column<'a, Self>] = &[
        Column::new("hash", Bytes, Nothing, |row| (&row.hash.0).into()),
        Column::new("name", Text, Nothing, |row| (&row.token.name).into()),
        Column::new("role", Text, Nothing, |row| row.token.role.as_str().into()),
        Column::new("namespaces", Text, Nothing, |row| to_json(&row.token.namespaces).into()),
        Column::new("created_at", Number, Nothing, |row| row.token.created_at.into()),
        Column::new("created_by", Text, Nothing, |row| (&row.token.created_by).into()),
        Column::new("expires_at", Number, Nothing, |row| row.token.expires_at.into()),
        // Statements of their own change these two, for a revoke.
        Column::new("revoked_at", Number, Nothing, |row| row.token.revoked_at.into()),
        Column::new("revoked_by", Text, Nothing, |row| row.token.revoked_by.as_ref().into()),
    ];
}

/// The token whose columns begin at `first`.
pub fn read_token<R: Row>(row: &R, first: usize) -> Result<ListedToken, R::Fault> {
    let row = row.starting_at(first);
    let namespaces = row.a_text(at!(TokenRow, "namespaces"))?;
    let token = Token {
        name: Actor::named("name", row.a_text(at!(TokenRow, "name"))?)?,
        role: row.word(at!(TokenRow, "role"))?,
        namespaces: read_json(namespaces).ok_or_else(|| impossible("namespaces", namespaces))?,
        created_at: row.a_time(at!(TokenRow, "created_at"))?,
        created_by: Actor::named("created_by", row.a_text(at!(TokenRow, "created_by"))?)?,
        expires_at: row.time(at!(TokenRow, "expires_at"))?,
        revoked_at: row.time(at!(TokenRow, "revoked_at"))?,
        revoked_by: row.optional(at!(TokenRow, "revoked_by"), |text| Actor::named("revoked_by", text))?,
    };
    Ok(ListedToken { hash: TokenHash(row.hash(at!(TokenRow, "hash"))?), token })
}
