//! The turn to write: processes that write to one file stand in line on two lock files beside it.
//!
//! A writer first takes its place at the head of the line, then waits for the turn, then leaves the line to the next.
//! With one lock alone a busy process could take it again before a waiter wakes up; here whoever is at the head of the
//! line gets the next turn for certain. The kernel releases the locks of a process that dies.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The two lock files.
#[derive(Debug)]
pub(crate) struct Turn {
    line: File,
    turn: File,
}

impl Turn {
    /// Opens the lock files beside the database, making them where they are missing.
    pub(crate) fn beside(database: &Path) -> io::Result<Turn> {
        let open = |suffix| OpenOptions::new().create(true).append(true).open(with_suffix(database, suffix));
        Ok(Turn { line: open("-line")?, turn: open("-turn")? })
    }

    /// Waits for the turn.
    pub(crate) fn take(&self) -> io::Result<()> {
        self.line.lock()?;
        let taken = self.turn.lock();
        self.line.unlock()?;
        taken
    }

    /// Waits for the turn no longer than that; false: somebody else still had it.
    pub(crate) fn take_within(&self, wait_max: Duration) -> io::Result<bool> {
        const LOOK_EVERY: Duration = Duration::from_millis(5);
        for _ in 0..=wait_max.as_millis() / LOOK_EVERY.as_millis() {
            match self.turn.try_lock() {
                Ok(()) => return Ok(true),
                Err(TryLockError::WouldBlock) => std::thread::sleep(LOOK_EVERY),
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
        Ok(false)
    }

    /// Gives the turn to the next in line.
    pub(crate) fn give(&self) -> io::Result<()> {
        self.turn.unlock()
    }
}

fn with_suffix(database: &Path, suffix: &str) -> PathBuf {
    let mut path = database.as_os_str().to_owned();
    path.push(suffix);
    PathBuf::from(path)
}
