//! Histograms for metrics. Nothing is decided by them.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

/// What was measured, by classes of its size, at one moment.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Histogram {
    ends: &'static [u64],
    counts: Vec<u64>,
    sum: u64,
}

impl Histogram {
    /// The upper ends of all classes but the last one, which has none. What is as large as an end is in its class.
    pub fn ends(&self) -> &'static [u64] {
        self.ends
    }

    /// How many are in each class; one more than there are ends.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// How many were measured.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// All that was measured together.
    pub fn sum(&self) -> u64 {
        self.sum
    }
}

/// Counts by class while it goes on. Threads never wait for one another here: it is counted on the way of every commit.
#[derive(Debug)]
pub(crate) struct ClassCounters {
    ends: &'static [u64],
    /// One more than there are ends.
    counts: Box<[AtomicU64]>,
    sum: AtomicU64,
}

impl ClassCounters {
    /// Nothing is counted yet.
    pub(crate) fn with(ends: &'static [u64]) -> ClassCounters {
        let counts = (0..=ends.len()).map(|_| AtomicU64::new(0)).collect();
        ClassCounters { ends, counts, sum: AtomicU64::new(0) }
    }

    /// Counts one of that size.
    pub(crate) fn add(&self, size: u64) {
        let class = self.ends.partition_point(|end| *end < size);
        if let Some(count) = self.counts.get(class) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.sum.fetch_add(size, Ordering::Relaxed);
    }

    /// The counts now. Who is counted at this moment may be in the sum and in no class yet.
    pub(crate) fn now(&self) -> Histogram {
        Histogram {
            ends: self.ends,
            counts: self.counts.iter().map(|count| count.load(Ordering::Relaxed)).collect(),
            sum: self.sum.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_as_large_as_an_end_is_in_its_class_and_what_is_larger_than_all_is_in_the_last() {
        let counters = ClassCounters::with(&[1, 10, 100]);
        for size in [0, 1, 2, 10, 11, 100, 101, 5_000] {
            counters.add(size);
        }
        let classes = counters.now();
        assert_eq!(classes.counts(), [2, 2, 2, 2]);
        assert_eq!((classes.count(), classes.sum()), (8, 5_225));
    }
}
