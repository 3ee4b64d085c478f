//! Waits for a condition by polling, so that a slow machine fails no test.

use std::time::Duration;

/// Waits until the condition holds. The test is that it does, not how fast: nothing takes a minute when all is well.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    const LOOK_EVERY: Duration = Duration::from_millis(25);
    const LOOKS_MAX: u32 = 2_400;
    for _ in 0..LOOKS_MAX {
        if is_so() {
            return;
        }
        std::thread::sleep(LOOK_EVERY);
    }
    panic!("{what} did not come");
}
