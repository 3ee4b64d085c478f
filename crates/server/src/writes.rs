//! Whether what is written gets into the store, by what the last commands came to. A store that can be read and not written,
//! as on a full disk, answers every look, so that no look tells.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tenure::Error;
use tenure::clock::Moment;
use tenure::core::time::Span;

/// For how long nothing must have got through before it counts: a queue that is full for a moment is no such store.
const COUNTS_AFTER: Span = Span::from_secs(2);
/// How old the last failure may be. Where nobody writes nobody knows, and somebody has to try.
const FORGOTTEN_AFTER: Span = Span::from_secs(15);

/// What is known of it.
#[derive(Default)]
pub(crate) struct Writes(Mutex<Option<Failing>>);

/// Writes that fail, and none that got through since the first of them.
struct Failing {
    since: Moment,
    last: Moment,
    count: u64,
}

impl Writes {
    /// A write was answered. What is refused was decided, which says nothing of what can be written.
    pub(crate) fn heard<T>(&self, answer: &Result<T, Error>) {
        match answer {
            Ok(_) => self.go_through(),
            Err(Error::Unavailable(words)) => self.fail(words),
            Err(Error::Refused(_) | Error::Unknown(_)) => {}
        }
    }

    /// Whether nothing that is written gets through.
    pub(crate) fn are_refused(&self) -> bool {
        let now = Moment::now();
        self.failing().as_ref().is_some_and(|failing| {
            failing.last.since(failing.since) >= COUNTS_AFTER && now.since(failing.last) < FORGOTTEN_AFTER
        })
    }

    fn go_through(&self) {
        if let Some(Failing { since, count, .. }) = self.failing().take() {
            let length = Duration::from(Moment::now().since(since));
            tracing::info!(count, ?length, "the store takes what is written again");
        }
    }

    /// Says it when it begins, and not for each that follows.
    fn fail(&self, words: &str) {
        let now = Moment::now();
        let mut failing = self.failing();
        match failing.as_mut() {
            Some(failing) => {
                failing.last = now;
                failing.count = failing.count.saturating_add(1);
            }
            None => {
                *failing = Some(Failing { since: now, last: now, count: 1 });
                tracing::warn!(error = words, "the store does not take what is written");
            }
        }
    }

    fn failing(&self) -> MutexGuard<'_, Option<Failing>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
