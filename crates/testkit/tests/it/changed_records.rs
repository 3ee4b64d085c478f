//! Changes of a stored record through the ledger: read, changed and put back, also while others change it.

use tenure::clock::ManualClock;
use tenure::core::id::Revision;
use tenure::core::refusal::{Code, Refusal};
use tenure::{Error, Ledger};
use tenure_testkit::{BEGINNING, block_on, memory, sqlite};

/// Shows a rule on every store.
fn on_every_store<F: Future<Output = Result<(), Error>>>(rule: impl Fn(Ledger) -> F) {
    block_on(async {
        let clock = ManualClock::at(BEGINNING);
        rule(Ledger::with_store(memory(&clock))).await.expect("in memory");
        let (_folder, store) = sqlite(&clock).await;
        rule(Ledger::with_store(store)).await.expect("on SQLite");
    });
}

fn code<T: std::fmt::Debug>(answer: Result<T, Error>) -> Code {
    answer.expect_err("it is refused").code().expect("a refusal, not an error")
}

#[test]
fn changes_at_the_same_time_are_all_made() {
    on_every_store(|ledger| async move {
        ledger.create("t").await?;
        let higher = || {
            ledger.set("t", |put| {
                put.record.priority += 1;
                Ok(())
            })
        };
        let (one, two, three) = tokio::join!(higher(), higher(), higher());
        let mut seen = [one?.priority, two?.priority, three?.priority];
        seen.sort_unstable();
        assert_eq!(seen, [1, 2, 3]);
        Ok(())
    });
}

#[test]
fn with_a_revision_nothing_is_tried_again() {
    on_every_store(|ledger| async move {
        let read = ledger.create("t").await?.revision;
        let priority = |to| {
            move |put: &mut tenure::core::command::Put| {
                put.record.priority = to;
                Ok(())
            }
        };
        let changed = ledger.set_at("t", read, priority(5)).await?;
        assert_eq!(code(ledger.set_at("t", read, priority(6)).await), Code::StaleWrite);
        assert_eq!(ledger.task("t").await?, changed);
        assert_eq!(ledger.set_at("t", Revision(read.0 + 1), priority(6)).await?.priority, 6);
        Ok(())
    });
}

#[test]
fn a_change_that_refuses_and_a_task_that_is_held_stay_as_they_are() {
    on_every_store(|ledger| async move {
        ledger.create("t").await?;
        let refuses = ledger.set("t", |_| Err(Refusal::invalid("payload", "not that")));
        assert_eq!(code(refuses.await), Code::Invalid);
        let held = ledger.acquire("t", "w1").await?;
        let change = |put: &mut tenure::core::command::Put| {
            put.record.priority = 5;
            Ok(())
        };
        assert_eq!(code(ledger.set("t", change).await), Code::Leased);
        assert_eq!(code(ledger.set("nothing", change).await), Code::NotFound);
        assert_eq!(ledger.task("t").await?, held);
        Ok(())
    });
}

#[test]
fn a_repeat_under_a_request_id_is_answered_as_the_first_was_whatever_happened_since() {
    on_every_store(|ledger| async move {
        let read = ledger.create("t").await?.revision;
        let priority = |to: i32| {
            move |put: &mut tenure::core::command::Put| {
                put.record.priority += to;
                Ok(())
            }
        };
        let set = |request: &'static str, to| ledger.set_with_request_id("t", read, request, priority(to));
        let first = set("r", 5).await?;
        assert_eq!((set("r", 5).await?, ledger.task("t").await?), (first.clone(), first.clone()));
        // So that nothing of the record can be put, nor is as it was.
        ledger.register_standing("t", "close-pr", "12").await?;
        ledger.relabel("t").set("pr", "12").await?;
        let held = ledger.acquire("t", "w1").await?;
        assert_eq!(set("r", 5).await?, first);
        assert_eq!(code(set("r", 6).await), Code::RequestReused, "another change");
        assert_eq!(code(set("other", 5).await), Code::Leased, "another request");
        assert_eq!(ledger.task("t").await?, held);
        ledger.complete("t", &held.lease().expect("a lease").holder()).await?;
        assert_eq!(set("r", 5).await?, first);
        Ok(())
    });
}
