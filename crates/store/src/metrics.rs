//! The metrics of a store: what it has committed, what waits, and what grows. Nothing is decided by them.

use tenure_core::time::Span;

use crate::histogram::{ClassCounters, Histogram};

/// The bounds of the batch size buckets, in commands.
const BATCH_COMMANDS: [u64; 9] = [1, 2, 5, 10, 25, 50, 100, 250, 1_000];

/// The bounds of the commit time buckets, in microseconds: a fast disk, a slow disk, and a lock held by another
/// process.
const COMMIT_US: [u64; 14] = [
    250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 5_000_000,
    30_000_000,
];

/// The metrics of a store: counted since this process opened it, or measured now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoreMetrics {
    /// The transactions of this process, by their number of commands. The count includes failed commits; the
    /// sum is the number of commands.
    pub batch: Histogram,
    /// The duration of each, in microseconds, from the wait for the writer lock to the answers.
    pub commit_us: Histogram,
    /// Commands of this process that wait to be taken into a transaction.
    pub waiting_commands: u64,
    /// The size of the write-ahead log, if there is one.
    pub wal_bytes: Option<u64>,
    /// How far followers of the history are behind, because an open transaction in the cluster may still
    /// write earlier events: the age of the oldest event that they can't see yet. None if that is impossible.
    pub feed_lag: Option<Span>,
}

/// Empty metrics.
impl Default for StoreMetrics {
    fn default() -> StoreMetrics {
        Counters::default().metrics(0)
    }
}

/// The counters of commits. All committers of a store share them.
#[derive(Debug)]
#[doc(hidden)]
pub struct Counters {
    batch: ClassCounters,
    commit_us: ClassCounters,
}

impl Default for Counters {
    fn default() -> Counters {
        let (batch, commit_us) = (ClassCounters::with(&BATCH_COMMANDS), ClassCounters::with(&COMMIT_US));
        Counters { batch, commit_us }
    }
}

impl Counters {
    /// A transaction with this many commands has ended. One without commands only made tasks from the intake.
    pub fn committed(&self, commands: usize, took: Span) {
        if commands > 0 {
            self.batch.add(commands as u64);
            self.commit_us.add(took.as_micros());
        }
    }

    /// The counts now, and what waits.
    pub fn metrics(&self, waiting_commands: u64) -> StoreMetrics {
        let (batch, commit_us) = (self.batch.now(), self.commit_us.now());
        StoreMetrics { batch, commit_us, waiting_commands, wal_bytes: None, feed_lag: None }
    }
}
