//! The figures of one measurement.

use serde::Serialize;
use tenure::core::time::Span;

/// What was measured, how often it happened, and how long one took.
#[derive(Serialize, Debug)]
pub(super) struct Measured {
    pub(super) what: What,
    /// How many at once.
    callers: usize,
    count: usize,
    per_second: u64,
    median_us: u64,
    slow_us: u64,
}

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Debug)]
#[serde(rename_all = "snake_case")]
pub(super) enum What {
    /// 4 KiB written to the end of a file and synced.
    Sync,
    /// A question to the store.
    RoundTrip,
    /// A command of a task's life: create, acquire, three heartbeats, complete.
    Command,
    Heartbeat,
    /// A claim of the only task of a queue.
    Claim,
}

impl Measured {
    /// From the time that each took, in microseconds, and that all took together.
    pub(super) fn of(what: What, callers: usize, mut micros: Vec<u64>, taken: Span) -> Measured {
        micros.sort_unstable();
        let at =
            |percent: usize| micros.get((micros.len() * percent / 100).min(micros.len().saturating_sub(1)));
        let at = |percent| at(percent).copied().unwrap_or_default();
        let per_second = micros.len() as u64 * 1_000_000 / taken.as_micros().max(1);
        Measured { what, callers, count: micros.len(), per_second, median_us: at(50), slow_us: at(99) }
    }

    pub(super) fn per_second(&self) -> u64 {
        self.per_second
    }

    pub(super) fn median(&self) -> Span {
        Span::from_micros(self.median_us)
    }

    pub(super) fn name(&self) -> String {
        let callers = match self.callers {
            1 => "1 caller".to_owned(),
            callers => format!("{callers} callers"),
        };
        match self.what {
            What::Sync => "sync of 4 KiB to the disk".to_owned(),
            What::RoundTrip => "round trip".to_owned(),
            What::Command => format!("commands, {callers}"),
            What::Heartbeat => format!("heartbeats, {callers}"),
            What::Claim => "claim on an idle store".to_owned(),
        }
    }

    pub(super) fn median_shown(&self) -> String {
        milliseconds(self.median_us)
    }

    /// What one of a hundred takes longer than.
    pub(super) fn slow_shown(&self) -> String {
        milliseconds(self.slow_us)
    }
}

fn milliseconds(micros: u64) -> String {
    format!("{}.{:02} ms", grouped(micros / 1_000), micros % 1_000 / 10)
}

/// A number with a comma before each third digit.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_and_the_slowest_hundredth_are_those_of_all_that_was_measured() {
        let measured = Measured::of(What::Sync, 1, (1..=1_000).rev().collect(), Span::from_secs(2));
        assert_eq!((measured.per_second(), measured.median_us, measured.slow_us), (500, 501, 991));
        assert_eq!((measured.median_shown(), measured.slow_shown()), ("0.50 ms".into(), "0.99 ms".into()));
        let none = Measured::of(What::Claim, 1, Vec::new(), Span::ZERO);
        assert_eq!((none.per_second(), none.median_us, none.slow_us), (0, 0, 0));
    }

    #[test]
    fn large_numbers_are_grouped() {
        let shown = [0, 999, 1_000, 12_345, 1_234_567].map(grouped);
        assert_eq!(shown, ["0", "999", "1,000", "12,345", "1,234,567"]);
    }
}
