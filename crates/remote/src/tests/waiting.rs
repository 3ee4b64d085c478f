//! Waits for what other threads do.

#![expect(clippy::disallowed_methods, reason = "a test gives up after real time")]

use std::time::{Duration, Instant};

/// Waits until it holds. Nothing takes a minute when all is well.
pub(super) fn eventually(what: &str, holds: impl Fn() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}
