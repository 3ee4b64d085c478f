//! The metrics of recovery.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use tenure_api::recovery::{Outcome, RecoveredTask};
use tenure_core::id::Kind;
use tenure_core::time::{Span, Time};
use tenure_store::histogram::{ClassCounters, Histogram};

use crate::handler::Handlers;

/// The bounds of the lateness buckets, in microseconds.
const LATENESS_US: [u64; 9] =
    [50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000, 30_000_000, 300_000_000];

/// The label for kinds without a registered handler. There may be any number of them.
const OTHER_KINDS: &str = "other";

/// Counters that only rise, and one that says what goes on.
#[derive(Debug)]
pub struct Metrics {
    sweeps: AtomicU64,
    outcomes: [AtomicU64; Outcome::ALL.len()],
    /// By the kinds of handlers alone, so that there are no more than these.
    undos: Mutex<BTreeMap<String, UndoCounts>>,
    store_errors: AtomicU64,
    undoing: AtomicU64,
    lateness: ClassCounters,
    lateness_max_us: AtomicU64,
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics {
            sweeps: AtomicU64::default(),
            outcomes: Default::default(),
            undos: Mutex::default(),
            store_errors: AtomicU64::default(),
            undoing: AtomicU64::default(),
            lateness: ClassCounters::with(&LATENESS_US),
            lateness_max_us: AtomicU64::default(),
        }
    }
}

/// The undos of a kind, by result.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct UndoCounts {
    /// Those with a receipt.
    pub undone: u64,
    /// Tries that failed.
    pub failed: u64,
}

/// The counts at one moment.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Snapshot {
    /// Sweeps for due tasks.
    pub sweeps: u64,
    /// Handled tasks, by outcome.
    pub outcomes: Vec<(&'static str, u64)>,
    /// Results of undos, by kind. Each kind with a handler is present from the beginning.
    pub undos: BTreeMap<String, UndoCounts>,
    /// Answers of the store that were errors.
    pub store_errors: u64,
    /// Tasks that are being undone now.
    pub undoing: u64,
    /// Delays between due time and reclaim, in microseconds.
    pub lateness: Histogram,
    /// The most, in microseconds.
    pub lateness_max_us: u64,
}

impl Snapshot {
    /// Undos with a receipt, of whatever kind.
    pub fn undone(&self) -> u64 {
        self.undos.values().map(|counts| counts.undone).sum()
    }

    /// Tries to undo that failed, of whatever kind.
    pub fn failed_undos(&self) -> u64 {
        self.undos.values().map(|counts| counts.failed).sum()
    }
}

impl Metrics {
    /// The counts now.
    pub fn snapshot(&self) -> Snapshot {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Snapshot {
            sweeps: get(&self.sweeps),
            outcomes: Outcome::ALL
                .iter()
                .map(|one| one.as_str())
                .zip(self.outcomes.iter().map(get))
                .collect(),
            undos: self.undos().clone(),
            store_errors: get(&self.store_errors),
            undoing: get(&self.undoing),
            lateness: self.lateness.now(),
            lateness_max_us: get(&self.lateness_max_us),
        }
    }

    /// No code panics while it holds the lock, so what is poisoned is still whole.
    fn undos(&self) -> MutexGuard<'_, BTreeMap<String, UndoCounts>> {
        self.undos.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts the counters of these kinds at zero. A counter that first appears with a failure shows no
    /// increase to monitoring.
    pub(super) fn begin(&self, handlers: &Handlers) {
        let mut undos = self.undos();
        for kind in handlers.kinds() {
            undos.entry(kind.to_string()).or_default();
        }
    }

    fn count_undo(&self, kind: &Kind, count: impl FnOnce(&mut UndoCounts)) {
        let mut undos = self.undos();
        match undos.get_mut(kind.as_str()) {
            Some(counts) => count(counts),
            None => count(undos.entry(OTHER_KINDS.to_owned()).or_default()),
        }
    }

    pub(super) fn count(&self, recovered: &RecoveredTask) {
        let at = Outcome::ALL.iter().position(|one| *one == recovered.outcome);
        if let Some(counter) = at.and_then(|at| self.outcomes.get(at)) {
            rise(counter);
        }
    }

    pub(super) fn swept(&self) {
        rise(&self.sweeps);
    }

    pub(super) fn undid(&self, kind: &Kind) {
        self.count_undo(kind, |counts| counts.undone += 1);
    }

    pub(super) fn failed_to_undo(&self, kind: &Kind) {
        self.count_undo(kind, |counts| counts.failed += 1);
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
        self.lateness.add(late.as_micros());
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
        let snapshot = metrics.snapshot();
        assert_eq!(snapshot.lateness.counts(), [2, 1, 0, 0, 1, 0, 0, 0, 0, 1]);
        assert_eq!(snapshot.lateness_max_us, 1_000_000_000);
    }

    #[test]
    fn undos_are_counted_by_the_kinds_of_handlers_and_all_others_under_one_name() {
        let metrics = Metrics::default();
        let handlers = Handlers::new().on("close-pr", |_| async { Ok(String::new()) }).expect("a kind");
        metrics.begin(&handlers);
        assert_eq!(metrics.snapshot().undos["close-pr"], UndoCounts::default(), "from the beginning");
        let kind = |name| Kind::named("undo", name).expect("a kind");
        metrics.undid(&kind("close-pr"));
        for name in ["made-up", "made-up-too"] {
            metrics.failed_to_undo(&kind(name));
        }
        let snapshot = metrics.snapshot();
        assert_eq!((snapshot.undone(), snapshot.failed_undos()), (1, 2));
        assert_eq!(snapshot.undos.keys().collect::<Vec<_>>(), ["close-pr", OTHER_KINDS]);
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
