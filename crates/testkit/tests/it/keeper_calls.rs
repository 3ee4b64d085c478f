//! Calls by a kept lease: ends that are recorded once and through outages, calls that stop with the lease, and grants
//! that are retried until they are known. `keeper.rs` tests how the lease itself is kept.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tenure::clock::Moment;
use tenure::core::command::{Action, Command, Take};
use tenure::core::refusal::Code;
use tenure::core::task::{State, Task};
use tenure::core::time::Span;
use tenure::core::verb::Verb;
use tenure::keeper::{Keeping, LeaseStatus, Loss};
use tenure::{Error, Ledger};
use tenure_testkit::faulty::Fault;
use tenure_testkit::keeping::{KEPT, SHORT, code, held, in_memory, kept, on_every_store};
use tenure_testkit::waiting::{soon, until, until_asked};
use tokio::sync::Notify;

/// Whether that long has passed since, by the machine's clock, which is the store's.
fn is_past(time: tenure::core::time::Time, length: Duration) -> bool {
    use tenure::clock::{Clock, SystemClock};
    SystemClock::default().read().wall >= time + Span::from(length)
}

/// The end of a lease that was granted, by this machine's other clock. The store's time is read first, so that this is no
/// earlier than the end; some milliseconds more are for a time of day that is being corrected meanwhile.
async fn latest_end_of(ledger: &Ledger, granted: &Task) -> Result<Moment, Error> {
    let time = ledger.now().await?;
    let left = granted.lease().expect("a lease").expires_at.since(time);
    Ok(Moment::now() + left + Span::from_millis(10))
}

async fn events_of(ledger: &Ledger, id: &str, kind: &str) -> Result<usize, Error> {
    let events = ledger.history(id, None, 1_000).await?.items;
    Ok(events.iter().filter(|one| one.event.what.kind() == kind).count())
}

fn is_of(id: &'static str) -> impl Fn(&Command) -> bool + Send + 'static {
    move |command| command.action.task().is_some_and(|task| task.as_str() == id)
}

// ---- the end -------------------------------------------------------------------------------------------------

#[test]
fn the_end_of_the_work_is_tried_through_an_outage() {
    on_every_store(|ledger, store| async move {
        let lease = kept(&ledger, "t", KEPT * 20).await?;
        store.meets_times(4, Verb::Complete, Fault::Unavailable);
        let done = soon("the end", lease.complete_with(json!(1))).await?;
        assert_eq!(done.state(), State::Completed);
        assert_eq!(store.count(Verb::Complete), 5);
        assert_eq!(events_of(&ledger, "t", "completed").await?, 1);
        assert_eq!(*lease.status().borrow(), LeaseStatus::Ended);
        Ok(())
    });
}

#[test]
fn an_end_that_was_recorded_and_not_answered_is_recorded_once_and_then_answered() {
    on_every_store(|ledger, store| async move {
        let lease = kept(&ledger, "t", KEPT * 20).await?;
        store.meets_times(2, Verb::Complete, Fault::DoesAndIsUnsure);
        let done = soon("the end", lease.complete_with(json!(1))).await?;
        assert_eq!(done.state(), State::Completed);
        assert_eq!(events_of(&ledger, "t", "completed").await?, 1);
        assert_eq!(lease.loss(), None);
        Ok(())
    });
}

#[test]
fn a_renewal_that_crosses_the_end_is_no_loss() {
    in_memory(|ledger, store| async move {
        // Another one, renewed by the same thread, which does one thing after the other.
        let other = kept(&ledger, "u", KEPT).await?;
        let lease = kept(&ledger, "t", KEPT * 2).await?;
        // It is done, and its answer is on its way while the next renewal is refused.
        let answer = Arc::new(Notify::new());
        store.meets(Verb::Complete, Fault::AnswersWhenTold(Arc::clone(&answer)));
        let crossing = async {
            until("the end is on its way", || store.count(Verb::Complete) == 1).await;
            let before = store.count_of("t");
            until("a renewal crosses it", || store.count_of("t") > before).await;
            let others = store.count_of("u");
            until("its answer was heard", || store.count_of("u") > others).await;
            answer.notify_one();
        };
        let (done, ()) = tokio::join!(soon("the end", lease.complete()), crossing);
        assert_eq!(done?.state(), State::Completed);
        assert_eq!((lease.loss(), lease.stop_signal().is_stopped()), (None, false));
        assert_eq!(*lease.status().borrow(), LeaseStatus::Ended);
        assert_eq!(other.loss(), None);
        Ok(())
    });
}

#[test]
fn a_renewal_that_is_refused_between_two_tries_of_the_end_is_no_loss() {
    in_memory(|ledger, store| async move {
        let lease = kept(&ledger, "t", KEPT * 2).await?;
        // It is recorded by the first try, and known after some more; meanwhile a renewal is refused.
        store.meets(Verb::Complete, Fault::DoesAndIsUnsure);
        let refusing = async {
            until("the end is recorded", || store.count(Verb::Complete) >= 1).await;
            let before = store.count(Verb::Heartbeat);
            until("a renewal is refused", || store.count(Verb::Heartbeat) > before).await;
            // The next try, a second later by then, is the first that is answered.
            store.calms_down();
        };
        let (done, ()) = tokio::join!(soon("the end", lease.complete()), refusing);
        assert_eq!(done?.state(), State::Completed);
        assert_eq!((lease.loss(), lease.stop_signal().is_stopped()), (None, false));
        Ok(())
    });
}

#[test]
fn an_end_that_is_never_answered_is_given_up_when_its_time_is_over() {
    for mood in [Fault::Swallows, Fault::DoesAndIsSilent] {
        in_memory(|ledger, store| async move {
            ledger.create("t").await?;
            let keeping = Keeping::default().with(|keeping| keeping.record_timeout = SHORT);
            let lease = ledger.acquire("t", "w1").ttl(KEPT * 20).keep_with(keeping).await?;
            store.meets(Verb::Complete, mood);
            let error = soon("an answer", lease.complete()).await.expect_err("nobody answered");
            assert!(matches!(error, Error::Unknown(_)), "whether it was recorded is not known: {error}");
            Ok(())
        });
    }
}

#[test]
fn what_may_have_been_done_is_never_said_to_be_undone() {
    in_memory(|ledger, store| async move {
        ledger.create("t").await?;
        let keeping = Keeping::default().with(|keeping| keeping.record_timeout = SHORT);
        let lease = ledger.acquire("t", "w1").ttl(KEPT * 20).keep_with(keeping).await?;
        store.meets_times(1, Verb::Complete, Fault::DoesAndIsUnsure);
        store.meets(Verb::Complete, Fault::Unavailable);
        let error = soon("an answer", lease.complete()).await.expect_err("nobody answered");
        assert!(matches!(error, Error::Unknown(_)), "it was recorded, so this is wrong: {error}");
        // The same for what is no end, when the lease is lost meanwhile.
        let lease = kept(&ledger, "u", SHORT).await?;
        store.meets(Verb::Heartbeat, Fault::Unavailable);
        store.meets_times(1, Verb::Register, Fault::DoesAndIsUnsure);
        store.meets(Verb::Register, Fault::Unavailable);
        let answer = soon("an answer", lease.undo_with("undo", "x", "why")).await;
        let error = answer.expect_err("nobody answered");
        assert!(matches!(error, Error::Unknown(_)), "it was registered, so this is wrong: {error}");
        Ok(())
    });
}

#[test]
fn a_call_that_is_never_answered_ends_with_the_lease() {
    in_memory(|ledger, store| async move {
        let lease = kept(&ledger, "t", SHORT).await?;
        store.meets(Verb::Register, Fault::Swallows);
        store.meets(Verb::Heartbeat, Fault::Swallows);
        let answer = soon("an answer", lease.undo_with("undo", "x", "why")).await;
        assert!(answer.is_err());
        assert_eq!(lease.loss(), Some(Loss::Fenced));
        Ok(())
    });
}

#[test]
fn a_late_end_after_a_takeover_is_refused_and_is_a_loss() {
    on_every_store(|ledger, store| async move {
        store.meets(Verb::Heartbeat, Fault::Unavailable);
        ledger.create("t").await?;
        let lease = ledger.acquire("t", "w1").ttl(SHORT).keep().await?;
        // The end is on its way before the deadline, and gets through after another has it.
        store.meets(Verb::Complete, Fault::Unavailable);
        let taken_over = async {
            until_asked("the takeover", async || ledger.acquire("t", "w2").await.is_ok()).await;
            store.calms_down();
        };
        let (late, ()) = tokio::join!(soon("the answer", lease.complete()), taken_over);
        assert_eq!(code(late), Code::StaleEpoch);
        assert!(lease.loss().is_some());
        let task = ledger.task("t").await?;
        assert_eq!((task.state(), task.epoch.0), (State::Running, 2), "the other one is not disturbed");
        Ok(())
    });
}

#[test]
fn a_call_that_is_refused_with_a_word_for_loss_is_a_loss() {
    in_memory(|ledger, _| async move {
        let lease = kept(&ledger, "t", KEPT * 20).await?;
        ledger.mark_quarantined("t", "stop it").await?;
        assert_eq!(code(lease.progress(json!(1)).await), Code::Terminal);
        assert!(matches!(lease.loss(), Some(Loss::Refused(refusal)) if refusal.code == Code::Terminal));
        assert!(lease.stop_signal().is_stopped());
        Ok(())
    });
}

#[test]
fn a_call_that_is_only_wrong_takes_the_lease_from_nobody() {
    in_memory(|ledger, _| async move {
        let lease = kept(&ledger, "t", KEPT * 20).await?;
        lease.undo_with("undo", "x", "why").await?;
        let unknown = ledger.settle("t", lease.holder(), 7, "there is no such number");
        assert_eq!(code(lease.call(unknown).await), Code::NotFound);
        let kept_lease = ledger.roll_back("t", lease.holder(), "it undoes it itself").keep_lease();
        assert_eq!(lease.call(kept_lease).await?.state(), State::Compensating);
        assert_eq!(code(lease.progress(json!(1)).await), Code::WrongState);
        assert_eq!(code(lease.undo_with("undo", "y", "why").await), Code::WrongState);
        assert_eq!(code(lease.complete().await), Code::WrongState);
        assert_eq!((lease.loss(), lease.stop_signal().is_stopped()), (None, false));
        let settled = lease.call(ledger.settle("t", lease.holder(), 1, "gone")).await?;
        assert_eq!(settled.state(), State::Compensated);
        assert_eq!(*lease.status().borrow(), LeaseStatus::Ended, "with the last receipt it is over");
        Ok(())
    });
}

#[test]
fn each_end_is_one_word() {
    on_every_store(|ledger, _| async move {
        let ends = |task: &Task| (task.state(), task.lease().is_some());
        let lease = kept(&ledger, "failed", KEPT * 20).await?;
        assert_eq!(ends(&lease.fail("broken").await?), (State::Failed, false), "nothing was registered");
        let lease = kept(&ledger, "released", KEPT * 20).await?;
        assert_eq!(ends(&lease.release("later", KEPT).await?), (State::Planned, false));
        assert!(ledger.task("released").await?.not_before.is_some());
        let lease = kept(&ledger, "parked", KEPT * 20).await?;
        assert_eq!(ends(&lease.quarantine("look").await?), (State::Quarantined, false));
        let lease = kept(&ledger, "undone", KEPT * 20).await?;
        lease.undo_with("undo", "x", "why").await?;
        assert_eq!(ends(&lease.roll_back("broken").await?), (State::Compensating, false));
        for lease in [&lease] {
            assert_eq!(*lease.status().borrow(), LeaseStatus::Ended);
            assert_eq!(code(lease.complete().await), Code::NoLease, "once is enough");
        }
        Ok(())
    });
}

// ---- the grant -----------------------------------------------------------------------------------------------

#[test]
fn a_grant_that_was_not_answered_is_asked_for_again_and_given_once() {
    on_every_store(|ledger, store| async move {
        ledger.create("t").await?;
        store.meets_times(2, Verb::Acquire, Fault::DoesAndIsUnsure);
        let lease = soon("the grant", ledger.acquire("t", "w1").ttl(KEPT * 20).keep()).await?;
        assert_eq!((lease.holder().epoch.0, ledger.task("t").await?.attempts), (1, 1));
        assert_eq!(events_of(&ledger, "t", "acquired").await?, 1);
        let ids: Vec<_> = store
            .arrived()
            .into_iter()
            .filter(|command| matches!(command.action, Action::Take { take: Take::Acquire, .. }))
            .map(|command| command.request)
            .collect();
        assert!(ids.len() == 3 && ids.iter().all(|id| id.is_some() && *id == ids[0]), "{ids:?}");
        lease.complete().await?;
        Ok(())
    });
}

#[test]
fn a_repeat_of_a_grant_is_kept_no_longer_than_the_first_one_gave() {
    in_memory(|ledger, _| async move {
        ledger.create("t").await?;
        let grant = || ledger.acquire("t", "w1").ttl(KEPT).request_id("r");
        let first = grant().await?;
        until("some of it is gone", || is_past(first.updated_at, KEPT / 2)).await;
        let lease = grant().keep().await?;
        assert!(held(&lease).ends_at <= latest_end_of(&ledger, &first).await?, "it has no more than is left");
        ledger.create("u").queue("q").await?;
        let claim = || ledger.claim("q", "w1").ttl(KEPT).request_id("c");
        let first = claim().await?.remove(0);
        until("some of it is gone", || is_past(first.updated_at, KEPT / 2)).await;
        let leases = claim().keep_until(std::future::ready(()), Keeping::default()).await?;
        assert!(held(&leases[0]).ends_at <= latest_end_of(&ledger, &first).await?);
        Ok(())
    });
}

#[test]
fn a_grant_that_may_have_been_given_is_asked_for_also_when_the_store_goes_away() {
    in_memory(|ledger, store| async move {
        ledger.create("t").await?;
        store.meets_times(1, Verb::Acquire, Fault::DoesAndIsUnsure);
        store.meets_times(2, Verb::Acquire, Fault::Unavailable);
        let lease = soon("the grant", ledger.acquire("t", "w1").ttl(KEPT * 20).keep()).await?;
        assert_eq!(lease.holder().epoch.0, 1);
        Ok(())
    });
}

#[test]
fn a_claim_that_was_not_answered_is_asked_for_again_and_given_once() {
    in_memory(|ledger, store| async move {
        ledger.create("t").queue("q").await?;
        store.meets_times(1, Verb::Claim, Fault::DoesAndIsUnsure);
        let claim = ledger.claim("q", "w1").ttl(KEPT * 20);
        let leases = soon("the grant", claim.keep_until(std::future::ready(()), Keeping::default())).await?;
        assert_eq!(leases.len(), 1);
        assert_eq!(leases[0].holder().epoch.0, 1);
        Ok(())
    });
}

#[test]
fn a_refused_or_unavailable_grant_is_told_at_once() {
    in_memory(|ledger, store| async move {
        let lease = kept(&ledger, "t", KEPT * 20).await?;
        let before = store.count(Verb::Acquire);
        let refused = ledger.acquire("t", "w2").keep().await;
        assert_eq!(code(refused), Code::Leased);
        assert_eq!(store.count(Verb::Acquire), before + 1, "it is asked once");
        store.meets_where(usize::MAX, is_of("u"), Fault::Unavailable);
        let unavailable = ledger.acquire("u", "w2").keep().await;
        assert!(matches!(unavailable, Err(Error::Unavailable(_))));
        assert_eq!(store.count(Verb::Acquire), before + 2, "and so is this");
        lease.complete().await?;
        Ok(())
    });
}

#[test]
fn work_that_was_over_in_time_may_be_recorded_after_the_lease_could_not_be_renewed() {
    in_memory(async |ledger, store| {
        let (late, in_time) = (kept(&ledger, "late", SHORT).await?, kept(&ledger, "in-time", SHORT).await?);
        store.meets(Verb::Heartbeat, Fault::Swallows);
        in_time.work_is_over();
        assert_eq!((late.lost().await, in_time.lost().await), (Loss::Fenced, Loss::Fenced));
        late.work_is_over();
        assert_eq!(code(late.complete().await), Code::LeaseLapsed, "that is said too late");
        assert_eq!(
            code(in_time.undo_with("k", "x", "y").await),
            Code::LeaseLapsed,
            "only its end is let through"
        );
        assert_eq!(in_time.complete().await?.state(), State::Completed);
        Ok(())
    });
}
