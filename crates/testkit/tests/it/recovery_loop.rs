//! The loop of recovery: when it looks, what it leaves to holders and to other processes, how it rests, and how it
//! stops. `recovery.rs` tests what happens to a task.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tenure::clock::Moment;
use tenure::core::policy::{Backoff, Policy};
use tenure::core::task::{Cause, Phase, State, Task, Undoing};
use tenure::core::time::Span;
use tenure::core::verb::Verb;
use tenure::handler::Handlers;
use tenure::recovery::{Outcome, Recovery, RecoveryOptions};
use tenure::stop::StopSignal;
use tenure::store::{Store, watch::Presence};
use tenure::{Error, Ledger};
use tenure_testkit::BEGINNING;
use tenure_testkit::faulty::{Fault, FaultyStore};
use tenure_testkit::keeping::on_every_store as in_real_time;
use tenure_testkit::undoing::{Behaviour, HandlerSpy, Loop, quick_retries};
use tenure_testkit::undoing::{RecoveryWorld, on_every_store, until_task};
use tenure_testkit::waiting::{Pulse, until, until_blocking};

const MINUTE: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);

async fn held(ledger: &Ledger, id: &str, undos: &[(&str, &str)]) -> Result<Task, Error> {
    ledger.create(id).await?;
    let by = ledger.acquire(id, "w1").await?.lease().expect("a lease").holder();
    for (kind, target) in undos {
        ledger.register(id, &by, kind, target).await?;
    }
    ledger.task(id).await
}

async fn looks(store: &FaultyStore, times: usize) {
    let before = store.count_looks();
    until("it looks", || store.count_looks() >= before + times).await;
}

fn has_ended(task: &Task) -> bool {
    task.ending().is_some()
}

fn due_at(task: &Task) -> tenure::core::time::Time {
    match &task.phase {
        Phase::Compensating { undoing: Undoing::DueAt(at), .. } => *at,
        other => panic!("somebody holds it: {other:?}"),
    }
}

// ---- trying --------------------------------------------------------------------------------------------------

#[test]
fn a_loop_hands_a_failed_undo_back_ownerless_until_it_is_due_again() {
    on_every_store(|world| async move {
        world.lapsed("t", &[("k", "a")]).await?;
        let spy = HandlerSpy::that(&[Behaviour::Fails, Behaviour::Works]);
        let backoff = Backoff { base: Span::from_secs(3), ..Backoff::default() };
        let retries = quick_retries().with(|policy| policy.backoff = backoff);
        let recovery = world.recovery(Handlers::new().with("k", retries, spy.clone())?);
        let running = Loop::of(&recovery);
        let back = |task: &Task| task.state() == State::Compensating && task.lease().is_none();
        let task = until_task(&world.ledger, "t", back).await;
        assert_eq!(due_at(&task), world.clock.now() + Span::from_secs(3));
        looks(&world.store, 3).await;
        assert_eq!(spy.calls().len(), 1, "not before its time");
        world.clock.advance(SECOND * 3);
        let task = until_task(&world.ledger, "t", has_ended).await;
        assert_eq!((task.state(), task.epoch.0, spy.calls().len()), (State::Compensated, 3, 2));
        assert_eq!(spy.calls()[0].key, spy.calls()[1].key);
        let report = running.stops().await;
        assert_eq!((report.of(Outcome::HandedBack), report.of(Outcome::Compensated)), (1, 1));
        Ok(())
    });
}

#[test]
fn a_loop_parks_what_failed_as_often_as_it_has_patience() {
    on_every_store(|world| async move {
        world.lapsed("t", &[("k", "a")]).await?;
        let spy = HandlerSpy::that(&[Behaviour::Fails]);
        let retries = quick_retries().with(|policy| policy.tries = 2);
        let running = Loop::of(&world.recovery(Handlers::new().with("k", retries, spy.clone())?));
        until_task(&world.ledger, "t", |task| task.lease().is_none() && task.epoch.0 == 2).await;
        world.clock.advance(SECOND);
        let task = until_task(&world.ledger, "t", has_ended).await;
        assert_eq!(task.ending().map(|ending| ending.cause), Some(Cause::UndoFailed));
        assert_eq!(spy.calls().len(), 2);
        running.stops().await;
        Ok(())
    });
}

#[test]
fn a_loop_parks_at_once_what_another_recoverer_tried_as_often_as_it_would() {
    on_every_store(|world| async move {
        let task = world.lapsed("t", &[("k", "a")]).await?;
        assert_eq!(task.epoch.0, 1);
        // Another one died between the last try and its end.
        let other = world.ledger.reclaim("t", "other").ttl(SECOND).await?;
        let by = other.lease().expect("a lease").holder();
        for _ in 0..3 {
            world.ledger.tried("t", &by, 1, "it did not work").await?;
        }
        world.clock.advance(SECOND * 2);
        let running = Loop::of(&world.recovery(HandlerSpy::that(&[Behaviour::Works]).on("k")));
        let task = until_task(&world.ledger, "t", has_ended).await;
        assert_eq!(task.ending().map(|ending| ending.cause), Some(Cause::UndoFailed));
        running.stops().await;
        Ok(())
    });
}

// ---- leaving it to others ------------------------------------------------------------------------------------

#[test]
fn a_loop_leaves_what_it_can_not_undo_to_others_for_a_while_and_then_parks_it() {
    on_every_store(|world| async move {
        world.lapsed("t", &[("foreign", "a"), ("k", "b")]).await?;
        let spy = HandlerSpy::that(&[Behaviour::Works]);
        let settings = RecoveryOptions::default().with(|options| options.handler_wait = SECOND * 8);
        let running = Loop::of(&world.recovery(spy.on("k")).options(settings));
        looks(&world.store, 3).await;
        // In steps that are no absence.
        for _ in 0..2 {
            world.clock.advance(Duration::from_millis(3_900));
            looks_and_marks(&world).await;
        }
        looks(&world.store, 2).await;
        let task = world.ledger.task("t").await?;
        assert_eq!((task.state(), task.epoch.0), (State::Running, 1), "it is not even reclaimed");
        world.clock.advance(SECOND);
        let task = until_task(&world.ledger, "t", has_ended).await;
        assert_eq!(task.ending().map(|ending| ending.cause), Some(Cause::UndoUnhandled));
        assert!(spy.calls().is_empty());
        running.stops().await;
        Ok(())
    });
}

#[test]
fn who_has_the_handler_undoes_what_another_loop_left() {
    on_every_store(|world| async move {
        world.lapsed("t", &[("foreign", "a")]).await?;
        let without = Loop::of(&world.recovery(HandlerSpy::that(&[Behaviour::Works]).on("k")));
        looks(&world.store, 3).await;
        let spy = HandlerSpy::that(&[Behaviour::Works]);
        let with = Loop::of(&world.recovery(spy.on("foreign")));
        let task = until_task(&world.ledger, "t", has_ended).await;
        assert_eq!((task.state(), spy.calls().len()), (State::Compensated, 1));
        with.stops().await;
        assert_eq!(without.stops().await.tasks, 0);
        Ok(())
    });
}

#[test]
fn what_changed_while_it_was_left_is_looked_at_again() {
    on_every_store(|world| async move {
        world.lapsed("t", &[("k", "a"), ("foreign", "b")]).await?;
        let spy = HandlerSpy::that(&[Behaviour::Works]);
        let running = Loop::of(&world.recovery(spy.on("k")));
        looks(&world.store, 3).await;
        assert!(spy.calls().is_empty());
        // Somebody else undoes what this one can't, and dies.
        let other = world.ledger.reclaim("t", "other").ttl(SECOND).await?;
        let by = other.lease().expect("a lease").holder();
        world.ledger.settle("t", &by, 2, "gone").await?;
        for _ in 0..3 {
            world.clock.advance(SECOND * 2);
            looks_and_marks(&world).await;
        }
        let task = until_task(&world.ledger, "t", has_ended).await;
        assert_eq!((task.state(), spy.targets()), (State::Compensated, vec!["a".to_owned()]));
        running.stops().await;
        Ok(())
    });
}

#[test]
fn a_hint_that_is_wrong_when_it_is_followed_is_forgotten() {
    on_every_store(|world| async move {
        world.ledger.create("t").await?;
        // It was named as due, and ended or was given back before it was read.
        world.store.nominates(&world.ledger.task("t").await?);
        let spy = HandlerSpy::that(&[Behaviour::Works]);
        let running = Loop::of(&world.recovery(spy.on("k")));
        looks(&world.store, 3).await;
        world.store.nominates_nobody_else();
        let by = world.ledger.acquire("t", "w1").ttl(SECOND).await?.lease().expect("a lease").holder();
        world.ledger.register("t", &by, "k", "a").await?;
        for _ in 0..4 {
            world.clock.advance(SECOND * 2);
            looks_and_marks(&world).await;
        }
        assert_eq!(until_task(&world.ledger, "t", has_ended).await.state(), State::Compensated);
        running.stops().await;
        Ok(())
    });
}

// ---- an absence ----------------------------------------------------------------------------------------------

#[test]
fn after_an_absence_holders_get_the_length_of_a_lease_and_may_still_end_their_work() {
    on_every_store(|world| async move {
        // Somebody looks after the store, and then nobody does for two minutes.
        let spy = HandlerSpy::that(&[Behaviour::Works]);
        let early = held(&world.ledger, "before", &[("k", "before")]).await?;
        world.clock.advance(SECOND * 30);
        for id in ["in-1", "in-2"] {
            held(&world.ledger, id, &[("k", id)]).await?;
        }
        world.clock.advance(SECOND * 31);
        assert!(early.lease().is_some_and(|lease| lease.has_lapsed(world.clock.now())));
        world.store.watch(Presence::default()).await?;
        world.clock.advance(SECOND * 120);
        held(&world.ledger, "after", &[("k", "after")]).await?;
        let recovery = world.recovery(spy.on("k"));
        let running = Loop::of(&recovery);
        until_task(&world.ledger, "before", has_ended).await;
        looks(&world.store, 4).await;
        assert_eq!(spy.targets(), ["before"], "what lapsed before the gap is nobody's but recovery's");
        let late = world.ledger.task("in-1").await?.lease().expect("a lease").holder();
        assert_eq!(world.ledger.complete("in-1", &late).await?.state(), State::Completed);
        // Step by step, so that it is no further absence.
        for _ in 0..15 {
            world.clock.advance(SECOND * 4);
            looks_and_marks(&world).await;
            if world.clock.now() < BEGINNING + Span::from_secs(30 + 31 + 120 + 60) {
                assert_eq!(spy.calls().len(), 1, "for the length of a lease");
            }
        }
        world.clock.advance(SECOND * 4);
        until_task(&world.ledger, "after", has_ended).await;
        assert!(spy.targets().contains(&"after".to_owned()), "what lapsed after the gap is not put off");
        for _ in 0..3 {
            world.clock.advance(SECOND * 4);
            looks_and_marks(&world).await;
        }
        until_task(&world.ledger, "in-2", has_ended).await;
        let mut targets = spy.targets();
        targets.sort();
        assert_eq!(targets, ["after", "before", "in-2"]);
        running.stops().await;
        Ok(())
    });
}

/// The mark is renewed with the time as it is now, so that the next step is seen as one.
async fn looks_and_marks(world: &RecoveryWorld) {
    world.store.watch(Presence::default()).await.expect("a mark");
    looks(&world.store, 2).await;
}

#[test]
fn after_an_absence_a_one_shot_does_not_wait() {
    on_every_store(|world| async move {
        world.store.watch(Presence::default()).await?;
        world.lapsed("t", &[("k", "a")]).await?;
        world.clock.advance(MINUTE);
        world.store.watch(Presence::default()).await?;
        let report = world.recovery(HandlerSpy::that(&[Behaviour::Works]).on("k")).once().await?;
        assert_eq!(report.of(Outcome::Compensated), 1);
        Ok(())
    });
}

#[test]
fn after_an_absence_an_undo_that_nobody_holds_waits_for_nobody() {
    on_every_store(|world| async move {
        world.store.watch(Presence::default()).await?;
        let task = held(&world.ledger, "t", &[("k", "a")]).await?;
        world.clock.advance(SECOND * 10);
        world.ledger.roll_back("t", &task.lease().expect("a lease").holder(), "it failed").await?;
        world.clock.advance(SECOND * 10);
        let running = Loop::of(&world.recovery(HandlerSpy::that(&[Behaviour::Works]).on("k")));
        until_task(&world.ledger, "t", has_ended).await;
        running.stops().await;
        Ok(())
    });
}

// ---- much at once --------------------------------------------------------------------------------------------

#[test]
fn sweeps_are_capped_and_what_is_left_over_comes_next() {
    on_every_store(|world| async move {
        for at in 0..20 {
            held(&world.ledger, &format!("t{at}"), &[]).await?;
        }
        world.clock.advance(MINUTE * 2);
        let settings = RecoveryOptions::default().with(|options| options.sweep_max = 5);
        let recovery = world.recovery(Handlers::new()).options(settings.clone());
        recovery.once().await?;
        assert!(recovery.metrics().snapshot().sweeps >= 4, "{:?}", recovery.metrics().snapshot().sweeps);
        for at in 20..40 {
            held(&world.ledger, &format!("t{at}"), &[]).await?;
        }
        world.clock.advance(MINUTE * 2);
        let recovery = world.recovery(Handlers::new()).options(settings);
        let running = Loop::of(&recovery);
        for at in 20..40 {
            until_task(&world.ledger, &format!("t{at}"), has_ended).await;
        }
        assert!(recovery.metrics().snapshot().sweeps >= 4);
        assert_eq!(running.stops().await.of(Outcome::Compensated), 20);
        Ok(())
    });
}

#[test]
fn no_two_recoverers_run_the_same_undo() {
    on_every_store(|world| async move {
        for at in 0..50 {
            held(&world.ledger, &format!("t{at}"), &[("k", &format!("{at}"))]).await?;
        }
        world.clock.advance(MINUTE * 2);
        let spy = HandlerSpy::that(&[Behaviour::Takes(20)]);
        let loops = [Loop::of(&world.recovery(spy.on("k"))), Loop::of(&world.recovery(spy.on("k")))];
        for at in 0..50 {
            let task = until_task(&world.ledger, &format!("t{at}"), has_ended).await;
            assert_eq!((task.state(), task.epoch.0), (State::Compensated, 2));
        }
        let mut keys: Vec<String> = spy.calls().into_iter().map(|call| call.key).collect();
        keys.sort();
        keys.dedup();
        assert_eq!((keys.len(), spy.calls().len()), (50, 50), "each once");
        let mut undone = 0;
        for one in loops {
            undone += one.stops().await.undone;
        }
        assert_eq!(undone, 50, "and each is told once");
        Ok(())
    });
}

#[test]
fn a_loop_that_died_is_followed_by_another_one() {
    in_real_time(|ledger, _| async move {
        ledger.create("t").undo("k", "a").await?;
        let by = ledger.acquire("t", "w1").await?.lease().expect("a lease").holder();
        ledger.roll_back("t", &by, "it failed").await?;
        let spy = HandlerSpy::that(&[Behaviour::Hangs, Behaviour::Works]);
        let settings = RecoveryOptions::default().with(|options| options.ttl = SECOND);
        let recovery = Recovery::new(ledger.clone()).handlers(spy.on("k")).options(settings);
        let dying = Loop::of(&recovery);
        until("it runs", || spy.running() == 1).await;
        dying.dies().await;
        until("what ran has ended with it", || spy.running() == 0).await;
        let next = Loop::of(&recovery);
        let task = until_task(&ledger, "t", has_ended).await;
        assert_eq!((task.state(), task.epoch.0), (State::Compensated, 3));
        assert_eq!(spy.calls()[0].key, spy.calls()[1].key);
        next.stops().await;
        Ok(())
    });
}

// ---- stopping ------------------------------------------------------------------------------------------------

#[test]
fn a_loop_that_is_told_to_stop_lets_a_running_undo_end_within_the_grace() {
    on_every_store(|world| async move {
        world.lapsed("t", &[("k", "a"), ("k", "b")]).await?;
        // It goes on for a while after the loop was told: long enough to be stopped, were that done at once.
        let spy = HandlerSpy::that(&[Behaviour::TakesWhenTold(300), Behaviour::Works]);
        let running = Loop::of(&world.recovery(spy.on("k")));
        until("it runs", || spy.running() == 1).await;
        let letting_go = async { spy.lets_go(1) };
        // The first of them tells it, before it waits for anything.
        let (report, ()) = tokio::join!(biased; running.stops(), letting_go);
        assert_eq!((report.undone, report.of(Outcome::HandedBack)), (1, 1), "and begins no other one");
        let task = world.ledger.task("t").await?;
        assert_eq!((task.state(), task.lease()), (State::Compensating, None));
        assert!(due_at(&task) <= world.clock.now() + Span::from_millis(1), "due at once");
        assert_eq!(spy.targets(), ["b"]);
        Ok(())
    });
}

#[test]
fn a_running_undo_that_does_not_end_within_the_grace_is_stopped_and_handed_back() {
    on_every_store(|world| async move {
        world.lapsed("t", &[("k", "a")]).await?;
        // To end takes it as long as the next one needs to find the task, were it handed back before: the second look begins
        // after the first has ended. Recovery itself waits 5 s for such an end.
        let (store, first) = (Arc::clone(&world.store), OnceLock::new());
        let spy = HandlerSpy::that_ends_with(&[Behaviour::Hangs, Behaviour::Works], move || {
            let first = *first.get_or_init(|| store.count_looks());
            until_blocking("two looks", || store.count_looks() >= first + 2);
        });
        let settings = RecoveryOptions::default().with(|options| options.grace = Duration::from_millis(100));
        let recovery = world.recovery(spy.on("k")).options(settings);
        let running = Loop::of(&recovery);
        until("it runs", || spy.running() == 1).await;
        let next = world.recovery(spy.on("k"));
        let next = Loop::of(&next);
        let report = running.stops().await;
        assert_eq!((report.tasks, report.of(Outcome::HandedBack)), (1, 1));
        until_task(&world.ledger, "t", has_ended).await;
        assert_eq!(spy.running_max(), 1, "the next one did not begin while this one was there");
        next.stops().await;
        Ok(())
    });
}

#[test]
fn a_loop_that_is_told_to_stop_while_the_store_is_away_ends_when_its_leases_have() {
    on_every_store(|world| async move {
        world.lapsed("t", &[("k", "a")]).await?;
        let spy = HandlerSpy::that(&[Behaviour::Hangs]);
        let grace = Duration::from_millis(100);
        let settings = RecoveryOptions::default().with(|it| (it.grace, it.ttl) = (grace, SECOND * 3));
        let running = Loop::of(&world.recovery(spy.on("k")).options(settings));
        until("it runs", || spy.running() == 1).await;
        world.store.meets(Verb::Release, Fault::Unavailable);
        let report = running.stops().await;
        assert_eq!(report.tasks, 1, "it is told, and nobody waits for minutes");
        Ok(())
    });
}

// ---- outages -------------------------------------------------------------------------------------------------

#[test]
fn a_store_that_is_away_for_a_while_does_not_end_the_loop() {
    on_every_store(|world| async move {
        let spy = HandlerSpy::that(&[Behaviour::Works]);
        let recovery = world.recovery(spy.on("k"));
        let running = Loop::of(&recovery);
        looks(&world.store, 2).await;
        world.store.goes_down();
        until("it is missed", || recovery.metrics().snapshot().store_errors >= 2).await;
        assert!(running.goes_on());
        world.store.calms_down();
        let task = held(&world.ledger, "t", &[("k", "a")]).await?;
        world.ledger.roll_back("t", &task.lease().expect("a lease").holder(), "it failed").await?;
        assert_eq!(until_task(&world.ledger, "t", has_ended).await.state(), State::Compensated);
        running.stops().await;
        Ok(())
    });
}

#[test]
fn receipts_and_reclaims_that_meet_an_outage_get_through_afterwards() {
    on_every_store(|world| async move {
        world.lapsed("t", &[("k", "a")]).await?;
        world.store.meets_times(1, Verb::Reclaim, Fault::Unavailable);
        world.store.meets_times(2, Verb::Settle, Fault::Unavailable);
        world.store.meets_times(1, Verb::Settle, Fault::DoesAndIsUnsure);
        let spy = HandlerSpy::that(&[Behaviour::Works]);
        let running = Loop::of(&world.recovery(spy.on("k")));
        // What could not be reclaimed is tried again a second later.
        until("the reclaim is missed", || world.store.count(Verb::Reclaim) >= 1).await;
        world.clock.advance(SECOND * 2);
        let task = until_task(&world.ledger, "t", has_ended).await;
        assert_eq!((task.state(), spy.calls().len()), (State::Compensated, 1));
        let report = running.stops().await;
        assert_eq!((report.undone, report.of(Outcome::Compensated)), (1, 1));
        Ok(())
    });
}

// ---- lateness ------------------------------------------------------------------------------------------------

#[test]
fn an_idle_loop_reclaims_within_a_second_of_the_lapse_and_undoes_at_once_what_is_rolled_back() {
    in_real_time(|ledger, _| async move {
        let pulse = Pulse::of(&ledger);
        let spy = HandlerSpy::that(&[Behaviour::Works]);
        let recovery = Recovery::new(ledger.clone()).handlers(spy.on("k"));
        let running = Loop::of(&recovery);
        for (id, rolls_back) in [("lapses", false), ("rolled-back", true)] {
            ledger.create(id).undo("k", id).await?;
            let by = ledger.acquire(id, "w1").ttl(SECOND).await?.lease().expect("a lease").holder();
            if rolls_back {
                ledger.roll_back(id, &by, "it failed").await?;
            }
        }
        for id in ["lapses", "rolled-back"] {
            until_task(&ledger, id, has_ended).await;
        }
        let counts = recovery.metrics().snapshot();
        pulse.assert_in_a_second(counts.lateness_max_us);
        assert_eq!(counts.lateness.count(), 2);
        running.stops().await;
        Ok(())
    });
}

#[test]
fn a_loop_on_a_store_that_looks_slowly_still_reclaims_within_a_second() {
    in_real_time(|ledger, store| async move {
        let pulse = Pulse::of(&ledger);
        store.looks_slowly(Duration::from_millis(80));
        let spy = HandlerSpy::that(&[Behaviour::Works]);
        let recovery = Recovery::new(ledger.clone()).handlers(spy.on("k"));
        let running = Loop::of(&recovery);
        looks(&store, 2).await;
        let mut latest = 0;
        for at in 0..5 {
            let id = format!("t{at}");
            ledger.create(&id).undo("k", "x").await?;
            let by = ledger.acquire(&id, "w1").await?.lease().expect("a lease").holder();
            ledger.roll_back(&id, &by, "it failed").await?;
            until_task(&ledger, &id, has_ended).await;
            latest = recovery.metrics().snapshot().lateness_max_us;
            looks(&store, 1).await;
        }
        pulse.assert_in_a_second(latest);
        running.stops().await;
        Ok(())
    });
}

#[test]
fn a_loop_with_nothing_to_do_does_not_look_all_the_time() {
    on_every_store(|world| async move {
        // Much that nothing can be done about.
        for at in 0..30 {
            held(&world.ledger, &format!("t{at}"), &[("foreign", "x")]).await?;
        }
        world.clock.advance(MINUTE * 2);
        let policy = Policy::default().with(|policy| policy.start_within = Some(Span::from_secs(1)));
        world.ledger.create("soon").policy(policy).await?;
        let recovery = world.recovery(HandlerSpy::that(&[Behaviour::Works]).on("k"));
        let running = Loop::of(&recovery);
        looks(&world.store, 1).await;
        let began = Moment::now();
        looks(&world.store, 8).await;
        // Twenty in a second would be many.
        let took = Moment::now().since(began);
        assert!(took >= Span::from_millis(400), "eight looks in {took}");
        running.stops().await;
        Ok(())
    });
}

#[test]
fn a_loop_with_room_for_one_gets_through_a_long_line_whenever_they_end() {
    in_real_time(async |ledger, _| {
        for nth in 0..600 {
            let id = format!("t{nth}");
            let task = held(&ledger, &id, &[("k", "x")]).await?;
            ledger.roll_back(&id, &task.lease().expect("a lease").holder(), "it failed").await?;
        }
        // Of different lengths, so that they end at any moment, also while the loop looks.
        let spy =
            HandlerSpy::that(&[Behaviour::Works, Behaviour::Takes(1), Behaviour::Works, Behaviour::Takes(3)]);
        let settings = RecoveryOptions::default().with(|options| options.at_once = 1);
        let looking = Loop::of(&Recovery::new(ledger.clone()).handlers(spy.on("k")).options(settings));
        until("all of them", || spy.calls().len() == 600).await;
        until_task(&ledger, "t599", has_ended).await;
        assert_eq!(looking.stops().await.undone, 600);
        Ok(())
    });
}

#[test]
fn a_one_shot_that_is_told_to_stop_hands_back_what_it_was_undoing_and_what_it_waits_to_try_again() {
    on_every_store(|world| async move {
        for does in [Behaviour::Hangs, Behaviour::Fails] {
            let id = format!("{does:?}").to_lowercase();
            world.lapsed(&id, &[("k", "a")]).await?;
            let spy = HandlerSpy::that(&[does]);
            let backoff = Backoff { base: Span::from_secs(60), ..Backoff::default() };
            let retries = quick_retries().with(|policy| policy.backoff = backoff);
            let grace = Duration::from_millis(200);
            let settings = RecoveryOptions::default().with(|it| (it.grace, it.ttl) = (grace, SECOND * 2));
            let recovery = world.recovery(Handlers::new().with("k", retries, spy.clone())?).options(settings);
            let stop = StopSignal::new();
            let running = tokio::spawn({
                let stop = stop.clone();
                async move { recovery.once_until(stop).await }
            });
            until("it was begun", || !spy.calls().is_empty()).await;
            if does == Behaviour::Fails {
                until_task(&world.ledger, &id, |task| task.compensations[0].tries == 1).await;
            }
            // That it goes on, and gives nothing back, is seen by a lease that is renewed.
            let renewed = world.store.count(Verb::Heartbeat);
            until("a renewal", || world.store.count(Verb::Heartbeat) > renewed).await;
            assert!(!running.is_finished(), "{id}");
            assert_eq!(world.ledger.task(&id).await?.lease().map(|lease| lease.epoch.0), Some(2), "{id}");
            stop.stop();
            let report = running.await.expect("it ends")?;
            // Also the one that was handed back before.
            assert!(report.of(Outcome::HandedBack) >= 1, "{id}: {report:?}");
            let task = world.ledger.task(&id).await?;
            assert_eq!((task.state(), task.lease()), (State::Compensating, None), "{id}");
            assert_eq!(spy.running(), 0, "{id}");
            world.clock.advance(MINUTE * 2);
        }
        Ok(())
    });
}
