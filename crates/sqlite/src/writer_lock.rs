//! The writer lock: processes that write to one file queue on two lock files beside it.
//!
//! A writer first takes the lock at the head of the queue, then waits for the lock to write, then gives up the head
//! to the next writer. With only one lock, a busy process could take it again before a waiting one wakes up. With
//! two, the writer at the head always gets the next turn. If a process dies, the kernel releases its locks.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;
use std::time::Duration;

use crate::paths::beside;

/// The two lock files.
#[derive(Debug)]
pub(crate) struct WriterLock {
    line: File,
    turn: File,
}

impl WriterLock {
    /// Opens the lock files beside the database, and creates them if needed.
    pub(crate) fn beside(database: &Path) -> io::Result<WriterLock> {
        let open = |suffix| OpenOptions::new().create(true).append(true).open(beside(database, suffix));
        Ok(WriterLock { line: open("-line")?, turn: open("-turn")? })
    }

    /// Waits for the lock.
    pub(crate) fn take(&self) -> io::Result<()> {
        self.line.lock()?;
        let taken = self.turn.lock();
        self.line.unlock()?;
        taken
    }

    /// Waits for the lock at most this long, outside the queue; false if another process still has it.
    pub(crate) fn take_within(&self, wait_max: Duration) -> io::Result<bool> {
        Ok(lock_within(&self.turn, wait_max)?.is_some())
    }

    /// The same, in the queue, so that busy processes can't keep the lock from the one at the head.
    pub(crate) fn take_in_line_within(&self, wait_max: Duration) -> io::Result<bool> {
        let Some(left) = lock_within(&self.line, wait_max)? else { return Ok(false) };
        let taken = lock_within(&self.turn, left)?;
        self.line.unlock()?;
        Ok(taken.is_some())
    }

    /// Releases the lock to the next in the queue.
    pub(crate) fn give(&self) -> io::Result<()> {
        self.turn.unlock()
    }
}

/// The pauses between two attempts of a wait with a time limit: each is twice as long as the one before, up to the longest. Who is
/// at the head keeps all others waiting, so it must see soon that the lock is free.
const PAUSE_FIRST: Duration = Duration::from_micros(50);
const PAUSE_MAX: Duration = Duration::from_millis(1);

/// Tries until the lock is taken or that time was waited for; returns how much of it was left.
fn lock_within(file: &File, mut left: Duration) -> io::Result<Option<Duration>> {
    let mut pause = PAUSE_FIRST;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Some(left)),
            Err(TryLockError::WouldBlock) if left.is_zero() => return Ok(None),
            Err(TryLockError::WouldBlock) => std::thread::sleep(pause.min(left)),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        left = left.saturating_sub(pause);
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_in_line_in_vain_leaves_the_line() {
        let folder = tempfile::tempdir().expect("a folder");
        let lock = || WriterLock::beside(&folder.path().join("t.db")).expect("lock files");
        let (busy, patient, next) = (lock(), lock(), lock());
        busy.take().expect("free");
        assert!(!patient.take_in_line_within(2 * PAUSE_MAX).expect("looked"), "somebody has it");
        busy.give().expect("given");
        assert!(next.take_in_line_within(Duration::ZERO).expect("looked"), "nobody stands in line");
    }
}
