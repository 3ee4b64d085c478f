//! Tracks whether the store accepts writes, by the results of the last commands. A store on a full disk can be read
//! but not written, so reads do not show it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tenure::Error;
use tenure::clock::Moment;
use tenure::core::time::Span;

/// How old the last failure may be. Without writes the state is unknown, and a write must be tried.
const FORGOTTEN_AFTER: Span = Span::from_secs(15);

/// What is known of it.
pub(crate) struct Writes {
    failing: Mutex<Option<Failing>>,
    /// How long writes must fail before it counts.
    counts_after: Span,
}

/// Failed writes without a success since the first of them.
struct Failing {
    since: Moment,
    last: Moment,
    count: u64,
    is_told: bool,
    /// Why the last one failed.
    words: String,
}

impl Writes {
    /// Nothing has failed yet.
    pub(crate) fn new(counts_after: Duration) -> Writes {
        Writes { failing: Mutex::new(None), counts_after: counts_after.into() }
    }

    /// A write was answered. A refusal was decided without a write, so it says nothing.
    pub(crate) fn heard<T>(&self, answer: &Result<T, Error>) {
        match answer {
            Ok(_) => self.go_through(),
            Err(Error::Unavailable(failure)) => self.fail(failure.message()),
            Err(_) => {}
        }
    }

    /// Whether writes currently fail.
    pub(crate) fn are_refused(&self) -> bool {
        self.refused().is_some()
    }

    /// Since when writes fail, if they do, and why.
    pub(crate) fn refused(&self) -> Option<(Moment, String)> {
        let now = Moment::now();
        let failing = self.failing();
        let failing = failing.as_ref().filter(|failing| {
            failing.last.since(failing.since) >= self.counts_after
                && now.since(failing.last) < FORGOTTEN_AFTER
        })?;
        Some((failing.since, failing.words.clone()))
    }

    fn go_through(&self) {
        if let Some(Failing { since, count, is_told: true, .. }) = self.failing().take() {
            let length = Duration::from(Moment::now().since(since));
            tracing::info!(count, ?length, "the store accepts writes again");
        }
    }

    /// Logs it once when it counts, not for each failure.
    fn fail(&self, words: &str) {
        let now = Moment::now();
        let mut failing = self.failing();
        // A failure of long ago says nothing about now.
        let known = failing.take().filter(|known| now.since(known.last) < FORGOTTEN_AFTER);
        let (since, count, is_told) =
            known.map_or((now, 0, false), |known| (known.since, known.count, known.is_told));
        let counts = now.since(since) >= self.counts_after;
        if counts && !is_told {
            tracing::warn!(error = words, "the store does not accept writes");
        }
        let count = count.saturating_add(1);
        let words = words.to_owned();
        *failing = Some(Failing { since, last: now, count, is_told: is_told || counts, words });
    }

    fn failing(&self) -> MutexGuard<'_, Option<Failing>> {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
