//! A process that was forked from one that used Tenure can't go on with it: threads, connections and locks stay with the parent.

use std::sync::atomic::{AtomicU32, Ordering};

use pyo3::PyResult;

use crate::errors;

/// The process that began to use Tenure; 0 before that.
static OWNER: AtomicU32 = AtomicU32::new(0);

/// Says that this process uses Tenure from now on.
pub(crate) fn begin() -> PyResult<()> {
    // Another thread of this process may have been first.
    let _ = OWNER.compare_exchange(0, std::process::id(), Ordering::Relaxed, Ordering::Relaxed);
    refuse()
}

/// Refuses to go on in a fork. It comes before every lock: its owner may not exist in a fork.
pub(crate) fn refuse() -> PyResult<()> {
    if is_fork() { Err(errors::forked()) } else { Ok(()) }
}

fn is_fork() -> bool {
    let owner = OWNER.load(Ordering::Relaxed);
    owner != 0 && owner != std::process::id()
}

/// A value that is never dropped in a fork. To close a store there could write into the parent's files, and to wait for a thread, which
/// does not exist there, would never end.
pub(crate) struct ForkSafe<T>(Option<T>);

impl<T> ForkSafe<T> {
    pub(crate) fn new(value: T) -> ForkSafe<T> {
        ForkSafe(Some(value))
    }

    /// The value; refused in a fork.
    pub(crate) fn get(&self) -> PyResult<&T> {
        refuse()?;
        // It is taken only by `drop`.
        self.0.as_ref().ok_or_else(errors::forked)
    }
}

impl<T> Drop for ForkSafe<T> {
    fn drop(&mut self) {
        if is_fork() {
            std::mem::forget(self.0.take());
        }
    }
}
