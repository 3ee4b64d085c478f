//! How a program tells workers, recovery and the code of a task to stop.

use tokio_util::sync::{CancellationToken, DropGuard};

/// A signal to stop. Clones share it.
///
/// A program with a signal of its own passes it on: `tokio::spawn(async move { own.cancelled().await; stop.stop() })`.
#[derive(Clone, Debug, Default)]
pub struct StopSignal(CancellationToken);

impl StopSignal {
    /// A signal that nobody has given yet.
    pub fn new() -> StopSignal {
        StopSignal::default()
    }

    /// Gives the signal. It can't be taken back.
    pub fn stop(&self) {
        self.0.cancel();
    }

    /// Whether the signal was given.
    pub fn is_stopped(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Resolves when the signal is given.
    pub async fn stopped(&self) {
        self.0.cancelled().await;
    }

    /// A signal that is given with this one, and can be given alone.
    pub fn child(&self) -> StopSignal {
        StopSignal(self.0.child_token())
    }

    /// Gives the signal when the result is dropped.
    pub fn stop_on_drop(self) -> StopOnDrop {
        StopOnDrop { _guard: self.0.drop_guard() }
    }
}

/// Gives a [`StopSignal`] when it is dropped.
#[derive(Debug)]
#[must_use = "the signal is given when this is dropped"]
pub struct StopOnDrop {
    _guard: DropGuard,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_signal_reaches_its_clones_and_children_and_not_what_it_is_a_child_of() {
        let signal = StopSignal::new();
        let (child, clone) = (signal.child(), signal.clone());
        drop(child.clone().stop_on_drop());
        assert!(child.is_stopped() && !signal.is_stopped());
        let other = signal.child();
        clone.stop();
        signal.stopped().await;
        assert!(other.is_stopped());
    }
}
