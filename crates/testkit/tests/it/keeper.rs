//! What a kept lease promises: it is renewed whatever the work does, only its end or a refusal takes it away, and a
//! holder that has lost it sends no more commands.
//!
//! The leases are real and last a few seconds, because the subject is a thread that counts time. No test depends on a
//! pause: it waits for an event, with room for a slow machine.

use std::sync::Arc;

use serde_json::json;
use tenure::Ledger;
use tenure::clock::{Clock, Moment, SystemClock};
use tenure::core::id::{Actor, Reason};
use tenure::core::policy::Policy;
use tenure::core::refusal::Code;
use tenure::core::task::{Cancel, State, Task};
use tenure::core::time::Span;
use tenure::core::verb::Verb;
use tenure::keeper::{Keeping, LeaseStatus, Loss, RenewalError};
use tenure::store::Answer;
use tenure_testkit::faulty::Fault;
use tenure_testkit::keeping::{KEPT, SHORT, code, held, in_memory, kept, on_every_store};
use tenure_testkit::waiting::{soon, until, until_asked, until_blocking};
use tokio::sync::Notify;

// ---- renewing ------------------------------------------------------------------------------------------------

#[test]
fn a_kept_lease_outlives_its_length_while_the_work_blocks_the_whole_runtime() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let ledger = Ledger::open("memory:").await.expect("opens");
        let lease = kept(&ledger, "t", KEPT).await.expect("kept");
        // Of the lease as it was granted nothing is left for as long again.
        let past = held(&lease).expires_at + Span::from(KEPT);
        let clock = SystemClock::default();
        until_blocking("twice the length of the lease", || clock.read().wall > past);
        assert_eq!(lease.loss(), None);
        let done = lease.complete_with(json!(1)).await.expect("its holder still is one");
        assert_eq!((done.state(), done.epoch.0), (State::Completed, 1));
    });
}

#[test]
fn a_lease_is_renewed_about_three_times_in_its_length_and_no_more() {
    on_every_store(|ledger, store| async move {
        let mut at = vec![Moment::now()];
        let lease = kept(&ledger, "t", KEPT).await?;
        for nth in 1..=7 {
            until("the next renewal", || store.count(Verb::Heartbeat) >= nth).await;
            at.push(Moment::now());
        }
        let lengths = |span: Span| span.as_micros() as f64 / KEPT.as_micros() as f64;
        // A third, or up to a tenth of that earlier: seven of them take 2.1 to 2.34 lengths, and longer on a slow machine.
        let all = lengths(at[7].since(at[0]));
        assert!(all >= 2.0, "seven renewals took {all} lengths");
        // A slow machine makes renewals late; it does not do so with half of them.
        let mut between: Vec<f64> = at.windows(2).map(|pair| lengths(pair[1].since(pair[0]))).collect();
        between.sort_by(f64::total_cmp);
        assert!(between[3] < 0.45, "between two renewals there are {between:?} lengths");
        assert_eq!(lease.loss(), None);
        lease.complete().await?;
        Ok(())
    });
}

#[test]
fn many_leases_at_once_are_all_renewed() {
    on_every_store(|ledger, _| async move {
        for at in 0..100 {
            ledger.create(&format!("t{at}")).await?;
        }
        let claim = ledger.claim("default", "w1").limit(100).ttl(KEPT * 2);
        let leases = claim.keep_until(std::future::ready(()), Keeping::default()).await?;
        assert_eq!(leases.len(), 100);
        for _ in 0..2 {
            let before: Vec<_> = leases.iter().map(|lease| held(lease).expires_at).collect();
            until("each is renewed", || {
                leases.iter().zip(&before).all(|(lease, before)| held(lease).expires_at > *before)
            })
            .await;
        }
        for lease in &leases {
            assert_eq!(lease.complete().await?.state(), State::Completed);
        }
        Ok(())
    });
}

#[test]
fn a_lease_that_is_dropped_is_renewed_no_more_and_lapses() {
    in_memory(|ledger, store| async move {
        let lease = kept(&ledger, "t", SHORT).await?;
        let watch = lease.status();
        until("a renewal", || store.count(Verb::Heartbeat) > 0).await;
        drop(lease);
        assert_eq!(*watch.borrow(), LeaseStatus::Ended);
        until_asked("its lapse", async || {
            ledger.stale(None, 1).await.is_ok_and(|stale| !stale.items.is_empty())
        })
        .await;
        assert_eq!(ledger.task("t").await?.state(), State::Running, "nobody ended it");
        Ok(())
    });
}

// ---- silence -------------------------------------------------------------------------------------------------

#[test]
fn silence_is_no_loss_until_the_deadline_and_then_it_is_before_the_store_lets_another_in() {
    for mood in [Fault::Swallows, Fault::Unavailable, Fault::Unsure] {
        in_memory(|ledger, store| async move {
            ledger.create("t").await?;
            store.meets(Verb::Heartbeat, mood);
            let ttl = SHORT * 4;
            let keeping = Keeping::default().with(|keeping| keeping.margin = Some(SHORT));
            let lease = ledger.acquire("t", "w1").ttl(ttl).keep_with(keeping).await?;
            let granted = held(&lease);
            assert_eq!(granted.ends_at.since(granted.fences_at), Span::from(SHORT));
            let kill = granted.limit().kill;
            assert!(
                granted.fences_at < kill && kill < granted.ends_at,
                "a kill takes a moment of the lease, too"
            );
            let token = lease.stop_signal();
            until("the failure is told", || {
                assert!(!token.is_stopped(), "silence is no loss");
                matches!(held(&lease).renewal_error, Some(RenewalError::Unanswered(_)))
            })
            .await;
            assert_eq!(soon("the loss", lease.lost()).await, Loss::Fenced);
            let (at, by_store) = (Moment::now(), ledger.now().await?);
            assert!(at >= granted.fences_at, "not before its time");
            // The margin is that promise: a second, where hearing of the loss and a look at the time take some milliseconds.
            assert!(by_store < granted.expires_at, "and before the store lets another in");
            assert!(token.is_stopped(), "the work is told");
            let arrived = store.count_all();
            assert_eq!(code(lease.complete().await), Code::LeaseLapsed);
            assert_eq!(code(lease.undo_with("undo", "x", "why").await), Code::LeaseLapsed);
            assert_eq!(code(lease.progress(json!(1)).await), Code::LeaseLapsed);
            assert_eq!(code(lease.checkpoint(json!(1)).await), Code::LeaseLapsed);
            assert_eq!(store.count_all(), arrived, "nothing reached the store any more");
            store.calms_down();
            // Nor anything of the thread that renews: it renews another lease, and would long have tried this one again.
            let of_this_one = store.count_of("t");
            let other = kept(&ledger, "u", KEPT).await?;
            let before = held(&other).expires_at;
            until("another one is renewed", || held(&other).expires_at > before).await;
            assert_eq!(store.count_of("t"), of_this_one);
            Ok(())
        });
    }
}

#[test]
fn a_lease_that_nobody_says_otherwise_of_is_given_up_a_tenth_before_its_end() {
    in_memory(|ledger, _| async move {
        let lease = kept(&ledger, "t", KEPT * 10).await?;
        let it = held(&lease);
        assert_eq!(it.ends_at.since(it.fences_at), Span::from(KEPT));
        let long = Keeping::default().with(|keeping| keeping.margin = Some(KEPT * 100));
        ledger.create("u").await?;
        let lease = ledger.acquire("u", "w1").ttl(KEPT * 4).keep_with(long).await?;
        let it = held(&lease);
        assert_eq!(it.ends_at.since(it.fences_at), Span::from(KEPT), "never more than a quarter");
        Ok(())
    });
}

#[test]
fn an_outage_shorter_than_what_is_left_loses_nobody() {
    for mood in [Fault::Swallows, Fault::Unavailable, Fault::DoesAndIsSilent] {
        in_memory(|ledger, store| async move {
            let lease = kept(&ledger, "t", KEPT * 3).await?;
            let before = held(&lease).expires_at;
            store.meets(Verb::Heartbeat, mood);
            // Until two thirds of it are gone: what is left is enough for a slow machine, too.
            until("it is tried again", || store.count(Verb::Heartbeat) >= 3).await;
            store.calms_down();
            until("it is renewed", || held(&lease).expires_at > before).await;
            assert_eq!((lease.loss(), held(&lease).renewal_error), (None, None), "and the failure is over");
            lease.complete().await?;
            Ok(())
        });
    }
}

#[test]
fn the_deadline_counts_from_when_a_renewal_was_sent_and_not_from_its_answer() {
    in_memory(|ledger, store| async move {
        let lease = kept(&ledger, "t", KEPT * 2).await?;
        let answer = Arc::new(Notify::new());
        store.meets_times(1, Verb::Heartbeat, Fault::AnswersWhenTold(Arc::clone(&answer)));
        let granted = held(&lease);
        until("the renewal is sent", || store.count(Verb::Heartbeat) >= 1).await;
        let sent_before = Moment::now();
        answer.notify_one();
        until("the renewal is answered", || held(&lease).expires_at > granted.expires_at).await;
        let renewed = held(&lease);
        assert!(renewed.ends_at <= sent_before + Span::from(KEPT * 2), "it counts on time it does not have");
        Ok(())
    });
}

#[test]
fn the_deadline_of_a_grant_counts_from_when_it_was_asked_for() {
    in_memory(|ledger, store| async move {
        ledger.create("t").await?;
        let answer = Arc::new(Notify::new());
        store.meets_times(1, Verb::Acquire, Fault::AnswersWhenTold(Arc::clone(&answer)));
        let asking = ledger.acquire("t", "w1").ttl(KEPT).keep();
        let answering = async {
            until("it is asked for", || store.count(Verb::Acquire) >= 1).await;
            let asked_before = Moment::now();
            answer.notify_one();
            asked_before
        };
        let (lease, asked_before) = tokio::join!(asking, answering);
        assert!(held(&lease?).ends_at <= asked_before + Span::from(KEPT));
        Ok(())
    });
}

// ---- plain words ---------------------------------------------------------------------------------------------

const LOSSES: [Code; 7] = [
    Code::Terminal,
    Code::NoLease,
    Code::StaleEpoch,
    Code::WrongOwner,
    Code::LeaseLapsed,
    Code::NotFound,
    Code::WrongState,
];

#[test]
fn every_word_that_says_so_is_a_loss_at_once() {
    in_memory(|ledger, store| async move {
        for (at, loss) in LOSSES.into_iter().enumerate() {
            let id = format!("t{at}");
            let lease = kept(&ledger, &id, KEPT * 2).await?;
            store.meets(Verb::Heartbeat, Fault::Refuses(loss));
            let fences_at = held(&lease).fences_at;
            match soon("the loss", lease.lost()).await {
                Loss::Refused(refusal) => assert_eq!(refusal.code, loss),
                Loss::Fenced => panic!("{loss} was not heard"),
            }
            assert!(Moment::now() < fences_at, "{loss} is not waited out");
            assert!(lease.stop_signal().is_stopped());
            let arrived = store.count_all();
            assert_eq!(code(lease.complete().await), loss, "a later call gets the same code");
            assert_eq!(store.count_all(), arrived, "and nobody else is asked");
            store.calms_down();
        }
        Ok(())
    });
}

#[test]
fn a_lease_that_is_only_not_extended_is_held_until_its_deadline() {
    for word in [Code::Stalled, Code::OutOfTime, Code::NotExtending] {
        in_memory(|ledger, store| async move {
            let lease = kept(&ledger, "t", SHORT * 2).await?;
            store.meets(Verb::Heartbeat, Fault::Refuses(word));
            let granted = held(&lease);
            until("the work is told", || {
                matches!(held(&lease).renewal_error, Some(RenewalError::NotExtended(refusal)) if refusal.code == word)
            })
            .await;
            assert!(!lease.stop_signal().is_stopped());
            lease.undo_with("undo", "x", "it goes on").await?;
            assert_eq!(soon("the end", lease.lost()).await, Loss::Fenced);
            assert!(Moment::now() >= granted.fences_at);
            let asked = store.count(Verb::Heartbeat);
            assert!(asked <= 4, "what time alone does not lift is not asked again and again: {asked}");
            Ok(())
        });
    }
}

#[test]
fn work_that_stalled_and_tells_of_progress_is_renewed_again_at_once() {
    on_every_store(|ledger, store| async move {
        let policy = Policy::default().with(|policy| policy.stall_after = Some(Span::from(KEPT * 2)));
        ledger.create("t").policy(policy).await?;
        let lease = ledger.acquire("t", "w1").keep().await?;
        let granted = held(&lease);
        let is_stalled = |code| code == Code::Stalled;
        until("it stalls", || match held(&lease).renewal_error {
            Some(RenewalError::NotExtended(refusal)) => is_stalled(refusal.code),
            Some(_) | None => false,
        })
        .await;
        let asked = store.count(Verb::Heartbeat);
        lease.progress(json!({"percent": 50})).await?;
        until("it is renewed", || held(&lease).expires_at > granted.expires_at).await;
        assert_eq!(held(&lease).renewal_error, None);
        assert!(store.count(Verb::Heartbeat) <= asked + 2, "it was asked at once and not by chance");
        lease.checkpoint(json!({"page": 7})).await?;
        let task = ledger.task("t").await?;
        assert_eq!(task.checkpoint.map(|it| it.to_string()).as_deref(), Some(r#"{"page":7}"#));
        lease.complete().await?;
        Ok(())
    });
}

#[test]
fn a_progress_after_a_stall_does_not_wait_for_the_next_try() {
    in_memory(|ledger, store| async move {
        let lease = kept(&ledger, "t", KEPT * 4).await?;
        let granted = held(&lease);
        store.meets(Verb::Heartbeat, Fault::Refuses(Code::Stalled));
        until("it stalls", || held(&lease).renewal_error.is_some()).await;
        // By itself it is tried again after a second and more, so that ten tries take ten seconds.
        let told = Moment::now();
        for _ in 0..10 {
            let tries = store.count(Verb::Heartbeat);
            lease.progress(json!(1)).await?;
            until("it is tried again", || store.count(Verb::Heartbeat) > tries).await;
        }
        let took = Moment::now().since(told);
        // A tenth of a second is what it takes where nothing else goes on.
        assert!(took < Span::from_secs(2), "ten tries took {took}");
        store.calms_down();
        lease.progress(json!(1)).await?;
        until("it is renewed", || held(&lease).expires_at > granted.expires_at).await;
        Ok(())
    });
}

// ---- cancel --------------------------------------------------------------------------------------------------

#[test]
fn cancel_is_heard_with_a_renewal_and_the_lease_is_still_held() {
    on_every_store(|ledger, _| async move {
        let lease = kept(&ledger, "t", KEPT).await?;
        let token = lease.stop_signal();
        assert!(!token.is_stopped());
        ledger.cancel("t", "not needed").await?;
        soon("the token", token.stopped()).await;
        soon("the word", lease.cancel_asked()).await;
        assert!(held(&lease).cancel_asked && lease.loss().is_none());
        lease.undo_with("undo", "x", "it cleans up behind itself").await?;
        assert_eq!(lease.roll_back("cancelled").await?.state(), State::Compensating);
        Ok(())
    });
}

#[test]
fn cancel_is_heard_with_the_next_heartbeat_also_where_the_grace_is_shorter_than_the_lease() {
    on_every_store(|ledger, _| async move {
        let graced = Policy::default().with(|policy| policy.cancel_grace = Some(Span::from_secs(1)));
        ledger.create("t").policy(graced).await?;
        let lease = ledger.acquire("t", "w1").ttl(KEPT * 4).keep().await?;
        let ends_at = held(&lease).expires_at;
        ledger.cancel("t", "not needed").await?;
        soon("the token", lease.stop_signal().stopped()).await;
        assert!(held(&lease).cancel_asked && lease.loss().is_none());
        assert!(ledger.now().await? + Span::from(KEPT) < ends_at, "long before the lease ends");
        assert_eq!(lease.roll_back("cancelled").await?.state(), State::Compensated);
        Ok(())
    });
}

#[test]
fn cancel_is_heard_with_the_answer_to_a_progress() {
    in_memory(|ledger, store| async move {
        let lease = kept(&ledger, "t", KEPT * 20).await?;
        ledger.cancel("t", "not needed").await?;
        lease.progress(json!(1)).await?;
        assert!(lease.stop_signal().is_stopped() && held(&lease).cancel_asked);
        soon("the word", lease.cancel_asked()).await;
        assert_eq!(store.count(Verb::Heartbeat), 0, "long before the next renewal");
        Ok(())
    });
}

#[test]
fn cancel_that_was_asked_before_the_grant_is_known_with_it() {
    in_memory(|ledger, store| async move {
        ledger.create("t").await?;
        let cancelled = |answer| match answer {
            Answer::Task(task) => {
                let (by, reason) = (Actor::new("op").expect("a name"), Reason::new("why").expect("words"));
                Answer::Task(Box::new(Task {
                    cancel: Some(Cancel { at: task.updated_at, by, reason }),
                    ..*task
                }))
            }
            other => other,
        };
        store.meets(Verb::Acquire, Fault::Tells(Arc::new(cancelled)));
        let lease = ledger.acquire("t", "w1").ttl(KEPT * 20).keep().await?;
        assert!(lease.stop_signal().is_stopped() && held(&lease).cancel_asked);
        soon("the word", lease.cancel_asked()).await;
        Ok(())
    });
}
