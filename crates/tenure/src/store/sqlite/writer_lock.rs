//! The writer lock: processes that write to one file queue on two lock files beside it.
//!
//! A writer first takes the lock at the head of the queue, then waits for the lock to write, then gives up the head
//! to the next writer. With only one lock, a busy process could take it again before a waiting one wakes up. With
//! two, the writer at the head always gets the next turn. If a process dies, the kernel releases its locks.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The two lock files.
#[derive(Debug)]
pub(crate) struct WriterLock {
    line: File,
    turn: File,
}

impl WriterLock {
    /// Opens the lock files beside the database, making them where they are missing.
    pub(crate) fn beside(database: &Path) -> io::Result<WriterLock> {
        let open = |suffix| OpenOptions::new().create(true).append(true).open(with_suffix(database, suffix));
        Ok(WriterLock { line: open("-line")?, turn: open("-turn")? })
    }

    /// Waits for the turn.
    pub(crate) fn take(&self) -> io::Result<()> {
        self.line.lock()?;
        let taken = self.turn.lock();
        self.line.unlock()?;
        taken
    }

    /// Waits for the turn no longer than that, out of the line; false: somebody else still had it.
    pub(crate) fn take_within(&self, wait_max: Duration) -> io::Result<bool> {
        Ok(lock_within(&self.turn, read_set(wait_max))?.is_some())
    }

    /// The same in line with the others, so that those who are busy can't keep it from whoever is at the head.
    pub(crate) fn take_in_line_within(&self, wait_max: Duration) -> io::Result<bool> {
        let Some(left) = lock_within(&self.line, read_set(wait_max))? else { return Ok(false) };
        let taken = lock_within(&self.turn, left)?;
        self.line.unlock()?;
        Ok(taken.is_some())
    }

    /// Gives the turn to the next in line.
    pub(crate) fn give(&self) -> io::Result<()> {
        self.turn.unlock()
    }
}

/// How long somebody who waits for a time rests between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(5);

fn read_set(wait_max: Duration) -> u128 {
    wait_max.as_millis() / LOOK_EVERY.as_millis()
}

/// Looks once, and again so often; how many looks were left when it was locked.
fn lock_within(file: &File, read_set: u128) -> io::Result<Option<u128>> {
    for left in (0..=read_set).rev() {
        match file.try_lock() {
            Ok(()) => return Ok(Some(left)),
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOOK_EVERY),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Ok(None)
}

fn with_suffix(database: &Path, suffix: &str) -> PathBuf {
    let mut path = database.as_os_str().to_owned();
    path.push(suffix);
    PathBuf::from(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_in_line_in_vain_leaves_the_line() {
        let folder = tempfile::tempdir().expect("a folder");
        let turn = || WriterLock::beside(&folder.path().join("t.db")).expect("lock files");
        let (busy, patient, next) = (turn(), turn(), turn());
        busy.take().expect("free");
        assert!(!patient.take_in_line_within(2 * LOOK_EVERY).expect("looked"), "somebody has it");
        busy.give().expect("given");
        assert!(next.take_in_line_within(Duration::ZERO).expect("looked"), "nobody stands in line");
    }
}
