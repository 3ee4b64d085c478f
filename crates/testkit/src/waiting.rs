//! Waits for something to happen: polls until it does, and fails only after a minute, so that a slow machine fails no
//! test. It can't show that something does not happen. For that, a test waits for a later event that is certain.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tenure::Ledger;
use tenure::clock::Moment;
use tenure::core::time::Span;

/// The timeout: nothing takes this long if all is well, even on a slow and busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// The pause between two polls.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Waits for a future, and panics after a minute.
pub async fn soon<T>(what: &str, coming: impl Future<Output = T>) -> T {
    let in_time = tokio::time::timeout(PATIENCE, coming).await;
    in_time.unwrap_or_else(|_| panic!("{what} did not come to be"))
}

/// Waits until a condition is true.
pub async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    soon(what, async {
        while !is_so() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    })
    .await;
}

/// Waits until an async condition is true.
pub async fn until_asked(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    soon(what, async {
        while !is_so().await {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    })
    .await;
}

/// Waits until a condition is true, and blocks its thread meanwhile.
pub fn until_blocking(what: &str, mut is_so: impl FnMut() -> bool) {
    assert!(found(|| is_so().then_some(())).is_some(), "{what} did not come to be");
}

/// Looks for something again and again, and blocks its thread meanwhile; none where it did not come in time.
pub fn found<T>(mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let began = Moment::now();
    loop {
        let seen = look();
        if seen.is_some() || Duration::from(Moment::now().since(began)) > PATIENCE {
            return seen;
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// How late this machine is by itself, measured by a task that only sleeps for a moment and reads the store. A
/// time limit is promised only on a machine that is not late.
pub struct Pulse {
    beating: tokio::task::JoinHandle<()>,
    late_us: Arc<AtomicU64>,
}

impl Pulse {
    /// Begins to look.
    pub fn of(ledger: &Ledger) -> Pulse {
        let (ledger, late_us) = (ledger.clone(), Arc::new(AtomicU64::new(0)));
        let latest = Arc::clone(&late_us);
        let beating = tokio::spawn(async move {
            loop {
                let wanted = Moment::now() + Span::from(LOOK_EVERY);
                tokio::time::sleep(LOOK_EVERY).await;
                ledger.now().await.expect("a look at the store's time");
                latest.fetch_max(Moment::now().since(wanted).as_micros(), Ordering::Relaxed);
            }
        });
        Pulse { beating, late_us }
    }

    /// Something was late by less than a second, and by what the machine was. Between a lapse and its reclaim somebody has to be
    /// woken, to look and read, and to write some times: each of these may be as late as the latest look here.
    #[track_caller]
    pub fn assert_in_a_second(&self, late_us: u64) {
        let machine_us = self.late_us.load(Ordering::Relaxed);
        assert!(
            late_us < 1_000_000 + 10 * machine_us,
            "{late_us} us late, on a machine that was {machine_us} us"
        );
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        self.beating.abort();
    }
}
