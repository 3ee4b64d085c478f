//! What recovery does with a stale task: it undoes what is owed, newest first and each with its receipt, or parks the
//! task for a person. One bad task does not affect the others. `recovery_loop.rs` tests the loop.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tenure::Error;

use tenure::core::compensation::Status;
use tenure::core::id::{Namespace, Owner};
use tenure::core::policy::{Backoff, OnLapse, Policy};
use tenure::core::task::{Cause, State, Task};
use tenure::core::time::Span;
use tenure::core::verb::Verb;
use tenure::handler::Handlers;
use tenure::recovery::{Outcome, RecoveredTask, Recovery, RecoveryOptions};
use tenure_testkit::faulty::Fault;
use tenure_testkit::undoing::{Behaviour, HandlerSpy, on_every_store, quick_retries, until_task};
use tenure_testkit::waiting::{soon, until};

const MINUTE: Duration = Duration::from_secs(60);

fn ending(task: &Task) -> (State, Cause, String) {
    let ending = task.ending().expect("it has ended");
    (task.state(), ending.cause, ending.reason.as_ref().map(ToString::to_string).unwrap_or_default())
}

fn count(recovery: &Recovery, outcome: Outcome) -> u64 {
    let counts = recovery.metrics().snapshot().outcomes;
    counts.iter().find(|(name, _)| *name == outcome.as_str()).map_or(0, |(_, count)| *count)
}

// ---- undoing -------------------------------------------------------------------------------------------------

#[test]
fn what_is_owed_is_undone_newest_first_and_each_has_its_receipt() {
    on_every_store(|world| async move {
        let before = world.lapsed("t", &[("k", "a"), ("k", "b"), ("k", "c")]).await?;
        let spy = HandlerSpy::that(&[Behaviour::Works]);
        let recovery = world.recovery(spy.on("k"));
        let report = recovery.once().await?;
        assert_eq!(spy.targets(), ["c", "b", "a"]);
        let task = world.ledger.task("t").await?;
        assert_eq!((task.state(), task.epoch.0, task.attempts), (State::Compensated, 2, 1));
        for one in &task.compensations {
            let receipt = one.receipt.as_ref().map(ToString::to_string);
            assert_eq!((one.status, receipt), (Status::Done, Some(format!("{} is gone", one.undo.target))));
        }
        let keys: Vec<_> = before
            .compensations
            .iter()
            .rev()
            .map(|one| one.key.as_ref().expect("a key").to_string())
            .collect();
        let told: Vec<String> = spy.calls().into_iter().map(|call| call.key).collect();
        assert_eq!(told, keys, "they are the keys that were stored when it became owed");
        let call = &spy.calls()[0];
        assert_eq!((call.epoch, call.task.as_str(), call.seq, call.tries), (2, "t", 3, 0));
        assert_eq!((report.tasks, report.undone, report.of(Outcome::Compensated)), (1, 3, 1));
        let counts = recovery.metrics().snapshot();
        assert_eq!(
            (counts.undone(), counts.failed_undos(), counts.undoing, counts.store_errors),
            (3, 0, 0, 0)
        );
        assert_eq!(count(&recovery, Outcome::Compensated), 1);
        assert_eq!(counts.lateness.count(), 1);
        assert!(counts.lateness_max_us < 1_000_000, "it was due this moment");
        Ok(())
    });
}

#[test]
fn how_long_the_first_that_is_due_has_waited_is_told_until_somebody_looks_after_it() {
    on_every_store(|world| async move {
        let recovery = world.recovery(HandlerSpy::that(&[Behaviour::Works]).on("k"));
        assert_eq!(recovery.overdue().await?, Span::ZERO, "there is nothing");
        world.held("t", Policy::default(), &[("k", "a")]).await?;
        assert_eq!(recovery.overdue().await?, Span::ZERO, "its lease has not lapsed");
        world.clock.advance(MINUTE);
        world.clock.advance(Duration::from_secs(7));
        assert_eq!(recovery.overdue().await?, Span::from_secs(7));
        recovery.once().await?;
        assert_eq!(recovery.overdue().await?, Span::ZERO);
        Ok(())
    });
}

#[test]
fn what_stands_is_undone_for_each_attempt_that_died_and_each_time_under_another_key() {
    on_every_store(|world| async move {
        let backoff = Backoff { base: Span::ZERO, ..Backoff::default() };
        let policy = Policy::default().with(|policy| {
            policy.max_attempts = 2;
            policy.backoff = backoff;
        });
        world.ledger.create("t").policy(policy).undo("k", "standing").await?;
        let spy = HandlerSpy::that(&[Behaviour::Works]);
        let recovery = world.recovery(spy.on("k"));
        world.taken("t", &[("k", "first")]).await?;
        world.clock.advance(MINUTE);
        let report = recovery.once().await?;
        assert_eq!((report.of(Outcome::Planned), report.undone), (1, 2));
        world.taken("t", &[]).await?;
        world.clock.advance(MINUTE);
        let report = recovery.once().await?;
        assert_eq!((report.of(Outcome::Compensated), report.undone), (1, 1));
        assert_eq!(spy.targets(), ["first", "standing", "standing"]);
        let calls = spy.calls();
        assert_ne!(calls[1].key, calls[2].key, "another attempt, another key");
        Ok(())
    });
}

#[test]
fn a_failing_undo_is_tried_again_by_the_same_one_shot_and_under_the_same_key() {
    on_every_store(|world| async move {
        world.lapsed("t", &[("k", "a")]).await?;
        let spy = HandlerSpy::that(&[Behaviour::Fails, Behaviour::Panics, Behaviour::Works]);
        let recovery = world.recovery(spy.on("k"));
        let report = recovery.once().await?;
        assert_eq!((report.tasks, report.of(Outcome::Compensated)), (1, 1), "it waited through the pauses");
        let calls = spy.calls();
        assert_eq!(calls.iter().map(|call| call.tries).collect::<Vec<_>>(), [0, 1, 2]);
        assert!(calls.iter().all(|call| call.key == calls[0].key && call.epoch == 2));
        let task = world.ledger.task("t").await?;
        assert_eq!((task.compensations[0].tries, task.state()), (2, State::Compensated));
        assert_eq!(recovery.metrics().snapshot().undos["k"].failed, 2);
        Ok(())
    });
}

#[test]
fn after_its_tries_a_task_is_parked_and_the_kind_is_named() {
    for does in [Behaviour::Fails, Behaviour::Panics, Behaviour::PanicsAtOnce] {
        on_every_store(|world| async move {
            world.lapsed("t", &[("k", "a"), ("bad", "b")]).await?;
            let (good, bad) = (HandlerSpy::that(&[Behaviour::Works]), HandlerSpy::that(&[does]));
            let report = world.recovery(bad.and(good.on("k"), "bad")).once().await?;
            assert_eq!(bad.calls().len(), 3, "three tries");
            assert_eq!(good.calls().len(), 0, "what is older waits for what is newer");
            let (state, cause, reason) = ending(&world.ledger.task("t").await?);
            assert_eq!((state, cause), (State::Quarantined, Cause::UndoFailed));
            assert!(reason.contains("can't undo bad") && reason.contains("3 times"), "{reason}");
            assert_eq!((report.tasks, report.of(Outcome::Quarantined)), (1, 1));
            Ok(())
        });
    }
}

#[test]
fn an_undo_that_will_never_work_is_parked_at_once() {
    on_every_store(|world| async move {
        world.lapsed("t", &[("k", "a")]).await?;
        let spy = HandlerSpy::that(&[Behaviour::GivesUp]);
        world.recovery(spy.on("k")).once().await?;
        assert_eq!(spy.calls().len(), 1);
        let (state, cause, reason) = ending(&world.ledger.task("t").await?);
        assert_eq!((state, cause), (State::Quarantined, Cause::UndoFailed));
        assert!(reason.contains("can't undo k") && reason.contains("it is too late"), "{reason}");
        Ok(())
    });
}

#[test]
fn a_hanging_undo_is_stopped_when_its_time_is_over_before_it_is_tried_again() {
    on_every_store(|world| async move {
        world.lapsed("t", &[("k", "a")]).await?;
        // played: it takes its time to end. The second try comes 20 ms after the first was stopped, whatever that does then.
        let slow_to_stop = || std::thread::sleep(Duration::from_millis(300));
        let spy = HandlerSpy::that_ends_with(&[Behaviour::Hangs, Behaviour::Works], slow_to_stop);
        let retries = quick_retries().with(|policy| policy.timeout = Duration::from_millis(100));
        let handlers = Handlers::new().with("k", retries, spy.clone())?;
        let report = world.recovery(handlers).once().await?;
        assert_eq!(report.of(Outcome::Compensated), 1);
        assert_eq!(spy.running_max(), 1, "the second try did not begin while the first one was there");
        let error =
            world.ledger.task("t").await?.compensations[0].last_error.as_ref().map(ToString::to_string);
        assert!(error.is_some_and(|words| words.contains("longer than 100ms")));
        Ok(())
    });
}

// ---- what nobody can undo ------------------------------------------------------------------------------------

#[test]
fn a_kind_that_nobody_handles_parks_the_whole_task_with_nothing_undone_and_every_such_kind_named() {
    on_every_store(|world| async move {
        world.lapsed("t", &[("foreign", "a"), ("k", "b"), ("strange", "c")]).await?;
        let spy = HandlerSpy::that(&[Behaviour::Works]);
        let report = world.recovery(spy.on("k")).once().await?;
        assert!(spy.calls().is_empty(), "all of it or nothing");
        let task = world.ledger.task("t").await?;
        let (state, cause, reason) = ending(&task);
        assert_eq!((state, cause), (State::Quarantined, Cause::UndoUnhandled));
        assert!(reason.contains("can't undo foreign, strange"), "{reason}");
        assert!(!reason.contains("handles k "), "{reason}");
        assert_eq!((report.of(Outcome::Quarantined), report.undone), (1, 0));
        Ok(())
    });
}

#[test]
fn a_target_that_the_handler_does_not_take_parks_the_task_with_nothing_undone() {
    on_every_store(|world| async move {
        world.lapsed("t", &[("k", "/etc/passwd"), ("k", "b")]).await?;
        let spy = HandlerSpy::that_refuses(&[Behaviour::Works], "/etc");
        world.recovery(spy.on("k")).once().await?;
        assert!(spy.calls().is_empty());
        let (state, cause, reason) = ending(&world.ledger.task("t").await?);
        assert_eq!((state, cause), (State::Quarantined, Cause::UndoUnhandled));
        assert!(reason.contains("does not take number 1"), "{reason}");
        Ok(())
    });
}

/// A handler that panics when it is asked whether it would.
struct Paranoid;

impl tenure::handler::Handler for Paranoid {
    fn accepts(&self, _: &tenure::handler::UndoCall) -> Result<(), String> {
        panic!("it was told to panic")
    }

    fn undo(
        &self,
        _: tenure::handler::UndoCall,
        _: tenure::keeper::LeaseWatch,
    ) -> tenure::store::BoxFuture<'static, tenure::handler::Undone> {
        Box::pin(async { Ok("never".to_owned()) })
    }
}

#[test]
fn one_bad_task_is_nobody_elses_trouble() {
    on_every_store(|world| async move {
        let bad: [(&str, Behaviour); 4] = [
            ("panics", Behaviour::Panics),
            ("panics-at-once", Behaviour::PanicsAtOnce),
            ("fails", Behaviour::Fails),
            ("hangs", Behaviour::Hangs),
        ];
        let good = HandlerSpy::that(&[Behaviour::Works]);
        let mut handlers = good.on("k").with("paranoid", quick_retries(), Paranoid)?;
        for (kind, does) in bad {
            let retries = quick_retries().with(|policy| policy.timeout = Duration::from_millis(200));
            handlers = handlers.with(kind, retries, HandlerSpy::that(&[does]))?;
            world.held(kind, Policy::default(), &[(kind, "x")]).await?;
        }
        for kind in ["paranoid", "unhandled"] {
            world.held(kind, Policy::default(), &[(kind, "x")]).await?;
        }
        for at in 0..20 {
            world.held(&format!("good{at}"), Policy::default(), &[("k", "x")]).await?;
        }
        world.clock.advance(MINUTE);
        let recovery = world.recovery(handlers);
        let report = soon("the end", recovery.once()).await?;
        let outcomes = (report.tasks, report.of(Outcome::Compensated), report.of(Outcome::Quarantined));
        assert_eq!(outcomes, (26, 20, 6));
        for at in 0..20 {
            assert_eq!(world.ledger.task(&format!("good{at}")).await?.state(), State::Compensated);
        }
        Ok(())
    });
}

#[test]
fn a_task_that_can_not_be_read_is_nobody_elses_trouble_and_is_told() {
    on_every_store(|world| async move {
        for id in ["a", "b", "c"] {
            world.held(id, Policy::default(), &[("k", id)]).await?;
        }
        world.clock.advance(MINUTE);
        world.store.can_not_read("a");
        let spy = HandlerSpy::that(&[Behaviour::Works]);
        let report = soon("the end", world.recovery(spy.on("k")).once()).await?;
        assert_eq!((report.of(Outcome::Compensated), report.of(Outcome::Failed)), (2, 1));
        Ok(())
    });
}

#[test]
fn a_one_shot_that_could_not_reclaim_says_so() {
    for mood in [Fault::Unavailable, Fault::Unsure] {
        on_every_store(|world| {
            let mood = mood.clone();
            async move {
                world.lapsed("t", &[("k", "a")]).await?;
                world.store.meets(Verb::Reclaim, mood);
                let recovery = world.recovery(HandlerSpy::that(&[Behaviour::Works]).on("k"));
                let report = soon("the end", recovery.once()).await?;
                assert_eq!((report.tasks, report.of(Outcome::Failed)), (1, 1), "the task is not recovered");
                assert!(recovery.metrics().snapshot().store_errors > 0);
                Ok(())
            }
        });
    }
}

// ---- who may undo --------------------------------------------------------------------------------------------

#[test]
fn a_recoverer_that_dies_in_the_middle_is_recovered_and_what_has_a_receipt_is_not_run_again() {
    on_every_store(|world| async move {
        world.lapsed("t", &[("k", "a"), ("k", "b"), ("k", "c")]).await?;
        let first = HandlerSpy::that(&[Behaviour::Works, Behaviour::Hangs]);
        let dying = world.recovery(first.on("k"));
        tokio::select! {
            _ = dying.once() => panic!("it hangs"),
            () = until("the second undo runs", || first.running() == 1 && first.calls().len() == 2) => {}
        }
        until("what ran has ended with it", || first.running() == 0).await;
        let second = HandlerSpy::that(&[Behaviour::Works]);
        let next = world.recovery(second.on("k"));
        assert_eq!(next.once().await?.tasks, 0, "its lease is still there");
        world.clock.advance(Duration::from_secs(31));
        assert_eq!(next.once().await?.of(Outcome::Compensated), 1);
        assert_eq!((first.targets(), second.targets()), (strings(&["c", "b"]), strings(&["b", "a"])));
        assert_eq!(first.calls()[1].key, second.calls()[0].key, "the same undo, the same key");
        assert_eq!((first.calls()[1].epoch, second.calls()[0].epoch), (2, 3));
        Ok(())
    });
}

fn strings(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[test]
fn losing_the_lease_stops_a_running_undo() {
    on_every_store(|world| async move {
        world.lapsed("t", &[("k", "a")]).await?;
        let spy = HandlerSpy::that(&[Behaviour::Hangs]);
        let settings = RecoveryOptions::default().with(|options| options.ttl = Duration::from_secs(2));
        let retries = quick_retries().with(|policy| policy.timeout = MINUTE * 60);
        let handlers = Handlers::new().with("k", retries, spy.clone())?;
        let recovery = world.recovery(handlers).options(settings);
        world.store.meets(Verb::Heartbeat, Fault::Unavailable);
        let report = soon("the end", recovery.once()).await?;
        assert_eq!((report.of(Outcome::Lost), report.undone), (1, 0));
        until("the undo is stopped", || spy.running() == 0).await;
        assert_eq!(world.ledger.task("t").await?.compensations[0].status, Status::Owed);
        Ok(())
    });
}

#[test]
fn what_a_person_waived_meanwhile_is_no_error() {
    on_every_store(|world| async move {
        world.lapsed("t", &[("k", "a"), ("k", "b")]).await?;
        let spy = HandlerSpy::that(&[Behaviour::TakesWhenTold(0), Behaviour::Works]);
        let recovery = world.recovery(spy.on("k"));
        let waiving = async {
            until("it runs", || spy.running() == 1).await;
            let waived = world.ledger.waive("t", 2, "it was never there").await;
            spy.lets_go(1);
            waived
        };
        let (report, waived) = tokio::join!(recovery.once(), waiving);
        waived?;
        let report = report?;
        assert_eq!((report.of(Outcome::Compensated), report.undone), (1, 1));
        assert_eq!(spy.targets(), ["b", "a"]);
        Ok(())
    });
}

#[test]
fn an_undo_that_failed_and_was_waived_meanwhile_is_no_error() {
    on_every_store(|world| async move {
        world.lapsed("t", &[("k", "a"), ("slow", "b")]).await?;
        let (spy, slow) =
            (HandlerSpy::that(&[Behaviour::Works]), HandlerSpy::that(&[Behaviour::FailsWhenTold]));
        let recovery = world.recovery(slow.and(spy.on("k"), "slow"));
        let waiving = async {
            until("it runs", || slow.running() == 1).await;
            let waived = world.ledger.waive("t", 2, "it was never there").await;
            slow.lets_go(1);
            waived
        };
        let (report, waived) = tokio::join!(recovery.once(), waiving);
        waived?;
        assert_eq!(report?.of(Outcome::Compensated), 1);
        assert_eq!((slow.calls().len(), spy.targets()), (1, strings(&["a"])));
        Ok(())
    });
}

// ---- what else is stale --------------------------------------------------------------------------------------

#[test]
fn each_policy_says_what_a_lapse_means() {
    on_every_store(|world| async move {
        let policy = Policy::default;
        let secs = |secs| Some(Span::from_secs(secs));
        let starts_soon = policy().with(|policy| policy.start_within = secs(60));
        world.ledger.create("not-started").policy(starts_soon).await?;
        let stalls = policy().with(|policy| policy.stall_after = secs(30));
        world.held("stalled", stalls, &[("k", "stalled")]).await?;
        let is_short = policy().with(|policy| policy.time_limit = secs(30));
        world.held("too-long", is_short, &[("k", "too-long")]).await?;
        let waits = policy().with(|policy| policy.lock_delay = secs(60));
        world.held("locked", waits, &[("k", "locked")]).await?;
        world.ledger.create("reserved").await?;
        world.ledger.dispatch("reserved", "w2").ttl(MINUTE).await?;
        let hold = policy().with(|policy| policy.on_lapse = OnLapse::Hold);
        world.held("held", hold, &[("k", "held")]).await?;
        world.held("held-cancelled", hold, &[("k", "held-cancelled")]).await?;
        world.ledger.cancel("held-cancelled", "not needed").await?;
        let park = policy().with(|policy| policy.on_lapse = OnLapse::Quarantine);
        world.held("parks", park, &[("k", "parks")]).await?;
        world.held("owes-nothing", policy(), &[]).await?;
        world.clock.advance(MINUTE);
        let spy = HandlerSpy::that(&[Behaviour::Works]);
        let recovery = world.recovery(spy.on("k"));
        let report = recovery.once().await?;
        let mut undone = spy.targets();
        undone.sort();
        assert_eq!(undone, ["held-cancelled", "stalled", "too-long"]);
        let state = |id: &'static str| {
            let ledger = world.ledger.clone();
            async move {
                let task = ledger.task(id).await?;
                Ok::<_, Error>((task.state(), task.ending().map(|ending| ending.cause)))
            }
        };
        assert_eq!(state("not-started").await?, (State::Quarantined, Some(Cause::NotStarted)));
        assert_eq!(state("stalled").await?, (State::Compensated, Some(Cause::Stalled)));
        assert_eq!(state("too-long").await?, (State::Compensated, Some(Cause::OutOfTime)));
        assert_eq!(state("locked").await?, (State::Running, None), "its effects may still come");
        assert_eq!(state("reserved").await?, (State::Planned, None));
        assert_eq!(state("held").await?, (State::Running, None), "the next owner to acquire it continues");
        assert_eq!(state("held-cancelled").await?, (State::Compensated, Some(Cause::Cancelled)));
        assert_eq!(state("parks").await?.0, State::Quarantined);
        assert_eq!(state("owes-nothing").await?, (State::Compensated, Some(Cause::Lapsed)));
        let by_end = [Outcome::Planned, Outcome::Compensated, Outcome::Quarantined].map(|it| report.of(it));
        assert_eq!((report.tasks, by_end), (7, [1, 4, 2]));
        world.clock.advance(MINUTE);
        assert_eq!(recovery.once().await?.undone, 1, "the lock delay is over");
        assert_eq!(state("locked").await?.0, State::Compensated);
        Ok(())
    });
}

#[test]
fn only_a_given_namespace_is_recovered() {
    on_every_store(|world| async move {
        let elsewhere = world.ledger.in_namespace("elsewhere")?;
        elsewhere.create("t").await?;
        elsewhere.acquire("t", "w1").await?;
        world.lapsed("t", &[("k", "a")]).await?;
        let spy = HandlerSpy::that(&[Behaviour::Works]);
        let namespace = Some(Namespace::new("elsewhere")?);
        let settings = RecoveryOptions::default().with(|options| options.namespace = namespace);
        let only = world.recovery(spy.on("k")).options(settings);
        assert_eq!(only.plan().await?.len(), 1);
        assert_eq!(only.once().await?.tasks, 1);
        assert_eq!(elsewhere.task("t").await?.state(), State::Compensated);
        assert_eq!(world.ledger.task("t").await?.state(), State::Running);
        assert_eq!(world.recovery(spy.on("k")).once().await?.tasks, 1);
        Ok(())
    });
}

#[test]
fn what_became_due_after_it_began_is_left_by_a_one_shot() {
    on_every_store(|world| async move {
        world.lapsed("t", &[("k", "a")]).await?;
        world.held("later", Policy::default(), &[("k", "later")]).await?;
        let (ledger, clock) = (world.ledger.clone(), world.clock.clone());
        let told: Arc<Mutex<Vec<RecoveredTask>>> = Arc::default();
        let theirs = Arc::clone(&told);
        let spy = HandlerSpy::that(&[Behaviour::TakesWhenTold(0)]);
        let recovery = world.recovery(spy.on("k")).on_recovered(move |recovered| {
            theirs.lock().expect("whole").push(recovered.clone());
        });
        let passing = async {
            until("it runs", || spy.running() == 1).await;
            clock.advance(MINUTE);
            // Also for that which is left, were it not.
            spy.lets_go(2);
        };
        let (report, ()) = tokio::join!(recovery.once(), passing);
        assert_eq!(report?.tasks, 1);
        assert_eq!(ledger.task("later").await?.state(), State::Running);
        let told = told.lock().expect("whole").clone();
        let one = told.first().expect("it was told");
        assert_eq!((told.len(), one.task.as_str(), one.undone.len()), (1, "t", 1));
        assert_eq!((one.undone[0].target.as_str(), one.undone[0].receipt.as_str()), ("a", "a is gone"));
        Ok(())
    });
}

#[test]
fn a_plan_tells_what_would_be_done_and_changes_nothing() {
    on_every_store(|world| async move {
        world.held("undone", Policy::default(), &[("k", "a"), ("k", "b")]).await?;
        world.held("parked", Policy::default(), &[("foreign", "a"), ("k", "b")]).await?;
        world.held("planned", Policy::default().with(|policy| policy.max_attempts = 2), &[]).await?;
        world.held("left", Policy::default().with(|policy| policy.on_lapse = OnLapse::Hold), &[]).await?;
        world.clock.advance(MINUTE);
        let spy = HandlerSpy::that(&[Behaviour::Works]);
        let recovery = world.recovery(spy.on("k"));
        let (before, arrived) = (world.count_events().await?, world.store.count_all());
        let plans = recovery.plan().await?;
        assert_eq!((world.count_events().await?, world.store.count_all()), (before, arrived));
        assert!(spy.calls().is_empty());
        let plan = |id: &str| plans.iter().find(|plan| plan.task.as_str() == id);
        let undone = plan("undone").expect("it is due");
        let targets: Vec<&str> = undone.undo.iter().map(|undo| undo.target.as_str()).collect();
        assert_eq!((targets, undone.becomes), (vec!["b", "a"], State::Compensating));
        let parked = plan("parked").expect("it is due");
        assert_eq!((parked.undo.len(), parked.becomes), (0, State::Quarantined));
        assert!(parked.parked_reason.as_ref().is_some_and(|words| words.contains("foreign")));
        assert_eq!(plan("planned").map(|plan| plan.becomes), Some(State::Planned));
        assert_eq!((plans.len(), plan("left")), (3, None));
        let report = recovery.once().await?;
        assert_eq!((report.tasks, report.undone), (3, 2), "and so it was done");
        Ok(())
    });
}

#[test]
fn more_tasks_than_fit_into_a_page_or_into_its_room_are_all_looked_after() {
    on_every_store(|world| async move {
        let commands = (0..1_100).map(|at| world.ledger.create(&format!("t{at}")).undo("k", "x").command());
        let commands = commands.collect::<Result<Vec<_>, _>>()?;
        for answer in world.ledger.transact(commands).await {
            answer?;
        }
        for _ in 0..2 {
            world.ledger.claim("default", "w1").limit(1_000).await?;
        }
        // A large batch takes the store's time a little ahead of the clock.
        world.clock.advance(MINUTE * 2);
        let spy = HandlerSpy::that(&[Behaviour::Works]);
        let settings = RecoveryOptions::default().with(|it| (it.at_once, it.sweep_max) = (7, 300));
        let recovery = world.recovery(spy.on("k")).options(settings);
        let report = recovery.once().await?;
        assert_eq!((report.tasks, report.undone, spy.calls().len()), (1_100, 1_100, 1_100));
        Ok(())
    });
}

#[test]
fn no_more_is_undone_at_once_than_there_is_room_for() {
    on_every_store(|world| async move {
        for at in 0..20 {
            world.held(&format!("t{at}"), Policy::default(), &[("k", "x")]).await?;
        }
        world.clock.advance(MINUTE * 2);
        let spy = HandlerSpy::that(&[Behaviour::TakesWhenTold(0)]);
        let settings = RecoveryOptions::default().with(|options| options.at_once = 3);
        let recovery = world.recovery(spy.on("k")).options(settings);
        // One after the other ends, and the next one takes its room.
        let letting_go = async {
            until("three have begun", || spy.calls().len() >= 3).await;
            for ended in 1..=17 {
                spy.lets_go(1);
                until("the next has begun", || spy.calls().len() >= 3 + ended).await;
            }
            spy.lets_go(3);
        };
        let (report, ()) = tokio::join!(recovery.once(), letting_go);
        assert_eq!((report?.undone, spy.running_max()), (20, 3));
        Ok(())
    });
}

#[test]
fn settings_of_nothing_are_settings_of_one() {
    on_every_store(|world| async move {
        world.lapsed("t", &[("k", "a")]).await?;
        let settings = RecoveryOptions::default().with(|it| (it.at_once, it.sweep_max) = (0, 0));
        let recovery = world.recovery(HandlerSpy::that(&[Behaviour::Works]).on("k")).options(settings);
        assert_eq!(soon("the end", recovery.once()).await?.tasks, 1);
        Ok(())
    });
}

#[test]
fn it_takes_leases_under_the_name_that_it_is_given_or_one_of_its_own() {
    on_every_store(|world| async move {
        world.lapsed("t", &[("k", "a")]).await?;
        let spy = HandlerSpy::that(&[Behaviour::Hangs]);
        let owner = Some(Owner::new("rescue")?);
        let settings = RecoveryOptions::default().with(|options| options.owner = owner);
        let recovery = world.recovery(spy.on("k")).options(settings);
        tokio::select! {
            _ = recovery.once() => panic!("it hangs"),
            task = until_task(&world.ledger, "t", |task| task.epoch.0 == 2) => {
                assert_eq!(task.lease().map(|lease| lease.owner.as_str()), Some("rescue"));
            }
        }
        Ok(())
    });
}
