//! What recovery counts.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;
use tenure_core::time::{Span, Time};

use super::{Outcome, Tended};

/// The upper ends of the classes of lateness, in milliseconds.
const LATENESS_MS: [u64; 9] = [50, 100, 250, 500, 1_000, 2_500, 5_000, 30_000, 300_000];

/// Counters that only rise, and one that says what goes on.
#[derive(Debug, Default)]
pub struct Metrics {
    sweeps: AtomicU64,
    outcomes: [AtomicU64; Outcome::ALL.len()],
    undone: AtomicU64,
    undo_failures: AtomicU64,
    store_errors: AtomicU64,
    undoing: AtomicU64,
    lateness: [AtomicU64; LATENESS_MS.len() + 1],
    lateness_sum_us: AtomicU64,
    lateness_max_us: AtomicU64,
}

/// The counts at one moment.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Snapshot {
    /// Looks at what is due.
    pub sweeps: u64,
    /// Tasks looked after, by what became of them.
    pub outcomes: Vec<(&'static str, u64)>,
    /// Undos with a receipt.
    pub undone: u64,
    /// Tries to undo that failed.
    pub undo_failures: u64,
    /// Answers of the store that were errors.
    pub store_errors: u64,
    /// Tasks that are being undone now.
    pub undoing: u64,
    /// How long after they were due tasks were reclaimed: `(up to that many milliseconds, how many)`, none for the last class,
    /// which has no end.
    pub lateness: Vec<(Option<u64>, u64)>,
    /// All lateness together, in microseconds.
    pub lateness_sum_us: u64,
    /// The most, in microseconds.
    pub lateness_max_us: u64,
}

impl Metrics {
    /// The counts now.
    pub fn snapshot(&self) -> Snapshot {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let ends = LATENESS_MS.iter().copied().map(Some).chain([None]);
        Snapshot {
            sweeps: get(&self.sweeps),
            outcomes: Outcome::ALL
                .iter()
                .map(|one| one.as_str())
                .zip(self.outcomes.iter().map(get))
                .collect(),
            undone: get(&self.undone),
            undo_failures: get(&self.undo_failures),
            store_errors: get(&self.store_errors),
            undoing: get(&self.undoing),
            lateness: ends.zip(self.lateness.iter().map(get)).collect(),
            lateness_sum_us: get(&self.lateness_sum_us),
            lateness_max_us: get(&self.lateness_max_us),
        }
    }

    pub(super) fn count(&self, tended: &Tended) {
        let at = Outcome::ALL.iter().position(|one| *one == tended.outcome);
        if let Some(counter) = at.and_then(|at| self.outcomes.get(at)) {
            rise(counter);
        }
    }

    pub(super) fn swept(&self) {
        rise(&self.sweeps);
    }

    pub(super) fn undid(&self) {
        rise(&self.undone);
    }

    pub(super) fn failed_to_undo(&self) {
        rise(&self.undo_failures);
    }

    pub(super) fn store_failed(&self) {
        rise(&self.store_errors);
    }

    /// Counts a task that is being undone, until what it gives is dropped.
    pub(super) fn undoing(&self) -> Undoing<'_> {
        rise(&self.undoing);
        Undoing(&self.undoing)
    }

    pub(super) fn reclaimed(&self, due_at: Time, at: Time) {
        let late: Span = at.since(due_at);
        let millis = late.as_micros() / 1_000;
        let class = LATENESS_MS.iter().position(|end| millis <= *end).unwrap_or(LATENESS_MS.len());
        if let Some(counter) = self.lateness.get(class) {
            rise(counter);
        }
        self.lateness_sum_us.fetch_add(late.as_micros(), Ordering::Relaxed);
        self.lateness_max_us.fetch_max(late.as_micros(), Ordering::Relaxed);
    }
}

fn rise(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// A task that is being undone.
pub(super) struct Undoing<'m>(&'m AtomicU64);

impl Drop for Undoing<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lateness_falls_into_its_class() {
        let metrics = Metrics::default();
        let due = Time::from_micros(1_000_000);
        for millis in [0, 50, 51, 900, 1_000_000] {
            metrics.reclaimed(due, due + Span::from_millis(millis));
        }
        let counts: Vec<u64> = metrics.snapshot().lateness.iter().map(|(_, count)| *count).collect();
        assert_eq!(counts, [2, 1, 0, 0, 1, 0, 0, 0, 0, 1]);
        assert_eq!(metrics.snapshot().lateness_max_us, 1_000_000_000);
    }

    #[test]
    fn what_is_being_undone_is_counted_while_it_is() {
        let metrics = Metrics::default();
        let one = metrics.undoing();
        assert_eq!(metrics.snapshot().undoing, 1);
        drop(one);
        assert_eq!(metrics.snapshot().undoing, 0);
    }
}
