//! Writes beside the committer: each in a transaction on a connection of its own that takes the same writer lock.

use std::time::Duration;

use rusqlite::{Connection, Transaction, TransactionBehavior};
use tenure_store::Error;

use crate::open::{SqliteFile, Synchronous};
use crate::writer_lock::WriterLock;

/// Longer than a queue of busy writers needs.
const LOCK_WAITED_FOR: Duration = Duration::from_secs(10);

impl SqliteFile {
    /// Writes in one transaction whose answer means that it is on the disk, even if the file is open so that other writes need
    /// not be.
    pub(crate) fn write_flushed<T>(
        &self,
        write: impl FnOnce(&Transaction<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let flushed = SqliteFile { synchronous: Synchronous::Full, ..self.clone() };
        flushed.write_beside(SqliteFile::connect, LOCK_WAITED_FOR, write)
    }

    /// Writes in one transaction on that connection, once the writer lock is free.
    pub(crate) fn write_beside<T>(
        &self,
        connect: impl FnOnce(&SqliteFile) -> Result<Connection, Error>,
        wait_max: Duration,
        write: impl FnOnce(&Transaction<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let lock = WriterLock::beside(&self.path).map_err(|error| self.lock_failed(error))?;
        let mut connection = connect(self)?;
        if !lock.take_in_line_within(wait_max).map_err(|error| self.lock_failed(error))? {
            return Err(Error::Unavailable(
                "other processes kept the writer lock for too long; try again later".into(),
            ));
        }
        // The writer lock is released when the lock files are closed.
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate);
        let transaction = transaction.map_err(|error| self.fault(error))?;
        let written = write(&transaction)?;
        transaction.commit().map_err(|error| self.commit_fault(error))?;
        Ok(written)
    }
}
