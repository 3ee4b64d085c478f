//! Tokens in the file. They change rarely, on a connection of its own that takes the same writer lock as the
//! committer.

use rusqlite::{Connection, OptionalExtension, params, params_from_iter};
use tenure_clock::Clock;
use tenure_core::time::Time;
use tenure_store::Error;
use tenure_store::access::{ListedToken, Token, Tokens};
use tenure_store::columns::{TableRow, TokenRow, read_token};
use tenure_store::tokens::{Decided, Known, TokenChange, VERSION_KEY};

use crate::columns::{SqliteError, SqliteResult, SqliteRow, SqliteValue};
use crate::open::SqliteFile;
use crate::read::SqliteReader;
use crate::sql;

/// Adds or revokes a token, by that clock. An answered change is on the disk, even if other writes need not be: a
/// revoked token must not come back after a power failure.
pub(crate) fn change(
    database: &SqliteFile,
    clock: &dyn Clock,
    last: Time,
    change: TokenChange,
) -> Result<Token, Error> {
    database.write_flushed(|transaction| {
        let decide = || -> SqliteResult<_> {
            let now = SqliteReader::new(transaction, database, clock, last).find_now()?;
            Ok((change.clone().decide(known(transaction, &change)?, now), now))
        };
        let (decided, now) = decide().map_err(|fault| fault.of(database))?;
        let decided = decided?;
        write(transaction, &decided, now).map_err(|fault| fault.of(database))?;
        Ok(decided.token)
    })
}

fn known(connection: &Connection, change: &TokenChange) -> SqliteResult<Known> {
    let read = |row: &rusqlite::Row<'_>| read_token(&SqliteRow(row), 0);
    let namesake = connection.query_row_and_then(&sql::TOKEN_BY_NAME, [change.name().as_str()], read);
    let same_hash = match change.hash() {
        Some(hash) => some(connection.query_row_and_then(&sql::TOKEN_BY_HASH, [hash.0.0], read))?,
        None => None,
    };
    Ok(Known { namesake: some(namesake)?, same_hash })
}

fn some(found: SqliteResult<ListedToken>) -> SqliteResult<Option<Token>> {
    match found {
        Ok(listed) => Ok(Some(listed.token)),
        Err(SqliteError::Sqlite(rusqlite::Error::QueryReturnedNoRows)) => Ok(None),
        Err(fault) => Err(fault),
    }
}

fn write(connection: &Connection, decided: &Decided, now: Time) -> SqliteResult<()> {
    let token = &decided.token;
    if let Some((at, by)) = &decided.revoke {
        let revoke = "update tokens set revoked_at = ?, revoked_by = ? where name = ? and revoked_at is null";
        let by = by.as_ref().map(|by| by.as_str());
        one(connection.execute(revoke, params![at.as_micros(), by, token.name.as_str()])?)?;
    }
    if let Some(added) = &decided.add {
        let values = added.values(TokenRow::COLUMNS.iter()).map(SqliteValue);
        one(connection.execute(&sql::INSERT_TOKEN, params_from_iter(values))?)?;
    }
    // Written even if it stays the same: then a repeat is answered only when the first change is on the disk.
    let version = decided.version(version(connection)?, now).to_string();
    one(connection.execute("update meta set value = ? where key = ?", params![version, VERSION_KEY])?)
}

fn one(count: usize) -> SqliteResult<()> {
    match count {
        1 => Ok(()),
        count => Err(SqliteError::Broken(format!("{count} rows were changed instead of one token"))),
    }
}

fn version(connection: &Connection) -> SqliteResult<u64> {
    let version = connection.prepare_cached("select value from meta where key = ?")?;
    let text: Option<String> = { version }.query_row([VERSION_KEY], |row| row.get(0)).optional()?;
    let version = text.as_deref().and_then(|text| text.parse().ok());
    version.ok_or_else(|| {
        SqliteError::Broken(format!("the table `meta` has no valid version of the tokens: {text:?}"))
    })
}

impl SqliteReader<'_> {
    /// All tokens, unless nothing changed since that version.
    pub(crate) fn tokens(&mut self, known: Option<u64>) -> Result<Option<Tokens>, Error> {
        self.find_tokens(known).map_err(|fault| self.error(fault))
    }

    fn find_tokens(&self, known: Option<u64>) -> SqliteResult<Option<Tokens>> {
        if known == Some(version(self.connection())?) {
            return Ok(None);
        }
        // One snapshot, so that the version belongs to the tokens.
        let moment = self.connection().unchecked_transaction()?;
        let version = version(&moment)?;
        let mut statement = moment.prepare_cached(&sql::TOKENS)?;
        let tokens = statement
            .query_and_then([], |row| read_token(&SqliteRow(row), 0))?
            .collect::<SqliteResult<Vec<_>>>()?;
        Ok(Some(Tokens { version, tokens }))
    }
}
