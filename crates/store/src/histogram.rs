//! Histograms for metrics. Nothing is decided by them.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

/// A histogram at one moment.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Histogram {
    ends: &'static [u64],
    counts: Vec<u64>,
    sum: u64,
}

impl Histogram {
    /// The upper bounds of the buckets; the last bucket has none. A value equal to a bound is in its bucket.
    pub fn ends(&self) -> &'static [u64] {
        self.ends
    }

    /// The count of each bucket; one more than there are bounds.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// The number of values.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The sum of all values.
    pub fn sum(&self) -> u64 {
        self.sum
    }
}

/// A histogram that is being filled. Threads never wait for each other here, because every commit is counted.
#[derive(Debug)]
#[doc(hidden)]
pub struct ClassCounters {
    ends: &'static [u64],
    /// One more than there are ends.
    counts: Box<[AtomicU64]>,
    sum: AtomicU64,
}

impl ClassCounters {
    /// An empty histogram.
    pub fn with(ends: &'static [u64]) -> ClassCounters {
        let counts = (0..=ends.len()).map(|_| AtomicU64::new(0)).collect();
        ClassCounters { ends, counts, sum: AtomicU64::new(0) }
    }

    /// Counts one value.
    pub fn add(&self, size: u64) {
        let class = self.ends.partition_point(|end| *end < size);
        if let Some(count) = self.counts.get(class) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.sum.fetch_add(size, Ordering::Relaxed);
    }

    /// The counts now. A value that is being counted at this moment may be in the sum but not in a bucket
    /// yet.
    pub fn now(&self) -> Histogram {
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
