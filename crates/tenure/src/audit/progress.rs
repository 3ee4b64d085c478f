//! How far a verification has come, for people who wait for it.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use tenure_core::time::Time;
use tenure_store::stored::StoredChain;

/// How far a verification has come. It may be read while the verification goes on. It says nothing about the verdict.
#[derive(Debug)]
pub struct VerifyProgress {
    tasks: AtomicU64,
    events: AtomicU64,
    /// The time of the newest event, in microseconds since 1970. [`NOTHING`] before the first event.
    newest: AtomicI64,
}

/// Before every time that an event can have.
const NOTHING: i64 = i64::MIN;

impl Default for VerifyProgress {
    fn default() -> VerifyProgress {
        VerifyProgress {
            tasks: AtomicU64::new(0),
            events: AtomicU64::new(0),
            newest: AtomicI64::new(NOTHING),
        }
    }
}

impl VerifyProgress {
    /// How many tasks were verified until now.
    pub fn tasks(&self) -> u64 {
        self.tasks.load(Ordering::Relaxed)
    }

    /// How many events.
    pub fn events(&self) -> u64 {
        self.events.load(Ordering::Relaxed)
    }

    /// The time of the newest of these events, as it is stored; none if there was none.
    pub fn newest_event_at(&self) -> Option<Time> {
        let newest = self.newest.load(Ordering::Relaxed);
        (newest != NOTHING).then(|| Time::from_micros(newest))
    }

    /// Counts a chain that was verified.
    pub(super) fn count(&self, chain: &StoredChain) {
        self.tasks.fetch_add(u64::from(chain.is_of_stored_task()), Ordering::Relaxed);
        self.events.fetch_add(chain.events.len() as u64, Ordering::Relaxed);
        let newest = chain.events.iter().map(|event| event.at).max();
        self.newest.fetch_max(newest.unwrap_or(NOTHING), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Ledger;

    fn seen(progress: &VerifyProgress) -> (u64, u64, Option<Time>) {
        (progress.tasks(), progress.events(), progress.newest_event_at())
    }

    #[tokio::test]
    async fn progress_ends_with_what_the_report_says_and_with_the_newest_event() {
        let ledger = Ledger::open("memory:").await.expect("opens");
        for number in 0..300 {
            ledger.create(&format!("t-{number}")).await.expect("created");
        }
        ledger.in_namespace("elsewhere").expect("a name").create("other").await.expect("created");
        let newest = ledger.annotate("t-7", "the newest here").await.expect("noted").updated_at;
        let progress = VerifyProgress::default();
        assert_eq!(seen(&progress), (0, 0, None));
        let report = ledger.verify_namespace_watched(None, &progress).await.expect("verified");
        assert_eq!((report.tasks, report.events), (300, 301));
        assert_eq!(seen(&progress), (300, 301, Some(newest)));
        let whole = VerifyProgress::default();
        ledger.verify_watched(None, &whole).await.expect("verified");
        assert_eq!((whole.tasks(), whole.events()), (301, 302));
    }

    #[tokio::test]
    async fn a_verification_lets_others_look_between_its_pages() {
        let ledger = Ledger::open("memory:").await.expect("opens");
        for number in 0..600 {
            ledger.create(&format!("t-{number}")).await.expect("created");
        }
        let progress = VerifyProgress::default();
        let mut verifying = std::pin::pin!(ledger.verify_namespace_watched(None, &progress));
        let mut steps = Vec::new();
        loop {
            tokio::select! {
                biased;
                report = &mut verifying => {
                    assert!(report.expect("verified").holds());
                    break;
                }
                () = std::future::ready(()) => steps.push(progress.tasks()),
            }
            // Lets the runtime wake the verification.
            tokio::task::yield_now().await;
        }
        assert!(steps.iter().any(|tasks| (1..600).contains(tasks)), "{steps:?}");
        assert_eq!(progress.tasks(), 600);
    }
}
