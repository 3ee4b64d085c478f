//! The metrics of a store: what it has committed, what waits, and what grows. Nothing is decided by them.

use tenure_core::time::Span;

use crate::histogram::{ClassCounters, Histogram};

/// The upper ends of the classes of a batch, in commands.
const BATCH_COMMANDS: [u64; 9] = [1, 2, 5, 10, 25, 50, 100, 250, 1_000];

/// The upper ends of the classes of how long a commit takes, in microseconds: a disk that is fast, one that is slow, and
/// somebody who holds the lock.
const COMMIT_US: [u64; 14] = [
    250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 5_000_000,
    30_000_000,
];

/// How a store is: counted since this process opened it, or at this moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoreMetrics {
    /// The transactions in which this process had commands executed, by how many there were in each. That many commits were
    /// tried, whatever came of them; their sum are the commands.
    pub batch: Histogram,
    /// How long each of them took, in microseconds, from when its turn was waited for to when it could be answered.
    pub commit_us: Histogram,
    /// Commands of this process that wait to be taken into a transaction.
    pub waiting_commands: u64,
    /// How large the file is that commits are appended to, where there is one.
    pub wal_bytes: Option<u64>,
    /// How far those who follow the history are behind because some transaction of the cluster is still open, which might
    /// come in front: the age of the oldest event that they can't be shown yet. None where that can't be.
    pub feed_lag: Option<Span>,
}

/// A store of which nothing is known.
impl Default for StoreMetrics {
    fn default() -> StoreMetrics {
        Counters::default().vitals(0)
    }
}

/// What is counted on the way of each commit. All committers of a store share it.
#[derive(Debug)]
pub(crate) struct Counters {
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
    /// A transaction with so many commands has ended. One without any only took in what others had created.
    pub(crate) fn committed(&self, commands: usize, took: Span) {
        if commands > 0 {
            self.batch.add(commands as u64);
            self.commit_us.add(took.as_micros());
        }
    }

    /// The counts now, and what waits.
    pub(crate) fn vitals(&self, waiting_commands: u64) -> StoreMetrics {
        let (batch, commit_us) = (self.batch.now(), self.commit_us.now());
        StoreMetrics { batch, commit_us, waiting_commands, wal_bytes: None, feed_lag: None }
    }
}
