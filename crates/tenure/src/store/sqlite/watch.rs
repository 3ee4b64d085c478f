//! The watch mark in the file. It takes the same turn as the committer, on a connection of its own.

use std::time::Duration;

use rusqlite::{OptionalExtension, TransactionBehavior};
use tenure_core::time::Time;

use crate::clock::Clock;
use crate::error::Error;
use crate::store::sqlite::columns::Found;
use crate::store::sqlite::open::{Database, Synchronous};
use crate::store::sqlite::read::Reader;
use crate::store::sqlite::turn::Turn;
use crate::store::watch::{Absence, WatchMark};

/// Longer than any commit takes, and short enough for a loop that is to end.
const TURN_WAITED_FOR: Duration = Duration::from_secs(5);

/// Renews the mark by that clock, and says when nobody was there last.
pub(crate) fn renew(database: &Database, clock: &dyn Clock, last: Time) -> Result<Option<Absence>, Error> {
    let turn = Turn::beside(&database.path).map_err(|error| database.lock_failed(&error))?;
    // A mark that a power loss takes back makes an absence look longer, which is harmless: it is not worth a flush.
    let unflushed = Database { synchronous: Synchronous::Normal, ..database.clone() };
    let mut connection = unflushed.connect()?;
    if !turn.take_within(TURN_WAITED_FOR).map_err(|error| database.lock_failed(&error))? {
        return Err(Error::Unavailable("another process has kept the turn to write for too long".into()));
    }
    // The turn is given back when the lock files are closed.
    let mut renewed = || -> Found<Option<Absence>> {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let now = Reader::new(&transaction, database, clock, last).find_now()?;
        let stored: Option<String> = transaction
            .query_row("select value from meta where key = 'watch'", [], |row| row.get(0))
            .optional()?;
        let mark = WatchMark::renewed(stored.as_deref(), now);
        let write = "insert or replace into meta (key, value) values ('watch', ?)";
        transaction.execute(write, [mark.written()])?;
        transaction.commit()?;
        Ok(mark.absence)
    };
    renewed().map_err(|fault| fault.of(database))
}
