//! The watch mark in the file. It is written on a connection of its own that takes the same writer lock as the
//! committer.

use std::time::Duration;

use rusqlite::{Connection, TransactionBehavior};
use tenure_clock::Clock;
use tenure_core::id::Namespace;
use tenure_core::time::Time;
use tenure_store::Error;
use tenure_store::mark::{MarkRenewal, watchers_of};
use tenure_store::watch::{Absence, Presence, Watchers};

use crate::columns::SqliteResult;
use crate::open::{SqliteFile, Synchronous};
use crate::read::SqliteReader;
use crate::writer_lock::WriterLock;

/// Longer than any commit takes, and short enough for a loop that is to end.
const LOCK_WAITED_FOR: Duration = Duration::from_secs(5);

/// Renews the mark by that clock, records this process, and returns the last absence.
pub(crate) fn renew(
    database: &SqliteFile,
    clock: &dyn Clock,
    last: Time,
    presence: &Presence,
) -> Result<Option<Absence>, Error> {
    let lock = WriterLock::beside(&database.path).map_err(|error| database.lock_failed(error))?;
    // If a power failure loses the mark, an absence looks longer, which is harmless: no flush is needed.
    let unflushed = SqliteFile { synchronous: Synchronous::Normal, ..database.clone() };
    let mut connection = unflushed.connect()?;
    if !lock.take_within(LOCK_WAITED_FOR).map_err(|error| database.lock_failed(error))? {
        return Err(Error::Unavailable(
            "another process kept the writer lock for too long; try again later".into(),
        ));
    }
    // The writer lock is released when the lock files are closed.
    let mut renewed = || -> SqliteResult<Option<Absence>> {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let now = SqliteReader::new(&transaction, database, clock, last).find_now()?;
        let stored = find_rows(&transaction)?;
        let write = |key: &str, value: &str| {
            let write = "insert or replace into meta (key, value) values (?, ?)";
            transaction.execute(write, [key, value])
        };
        let marks = MarkRenewal::of(&stored, presence, now);
        for key in &marks.forgotten {
            transaction.execute("delete from meta where key = ?", [key])?;
        }
        for (key, value) in &marks.written {
            write(key, value)?;
        }
        transaction.commit()?;
        Ok(marks.absence)
    };
    renewed().map_err(|fault| fault.of(database))
}

/// The marks, and the recovery processes.
fn find_rows(connection: &Connection) -> SqliteResult<Vec<(String, String)>> {
    let mut rows = connection.prepare_cached(
        "select key, value from meta where key = 'watch' or key >= 'watch ' and key < 'watch!' \
         or key >= 'recovery ' and key < 'recovery!'",
    )?;
    let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

impl SqliteReader<'_> {
    pub(crate) fn watchers(&mut self, namespace: &Namespace) -> Result<Watchers, Error> {
        self.find_watchers(namespace).map_err(|fault| self.error(fault))
    }

    pub(crate) fn find_watchers(&self, namespace: &Namespace) -> SqliteResult<Watchers> {
        let (now, rows) = (self.find_now()?, find_rows(self.connection())?);
        let rows = rows.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        Ok(watchers_of(rows, namespace, now))
    }
}
