//! How often one run of recovery tries an undo before it hands the task back, and what a handler learns about the task.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use tenure::core::policy::Backoff;
use tenure::core::task::{Cause, State};
use tenure::core::time::Span;
use tenure::handler::{Handler, Handlers, UndoCall, Undone};
use tenure::keeper::LeaseWatch;
use tenure::recovery::{Outcome, Recovery, RecoveryOptions};
use tenure::store::BoxFuture;
use tenure_testkit::undoing::{Behaviour, HandlerSpy, RecoveryWorld, on_every_store, quick_retries};
use tenure_testkit::waiting::until_asked;

/// Recovery of which each run tries so often, with that wait after each try.
fn recovery(world: &RecoveryWorld, spy: &HandlerSpy, tries_now: u32, wait: Span) -> Recovery {
    let retries = quick_retries().with(|retries| {
        retries.backoff = Backoff { base: wait, factor: 1, cap: wait };
    });
    let handlers = Handlers::new().with("k", retries, spy.clone()).expect("a kind");
    let options = RecoveryOptions::default().with(|options| options.tries_now = NonZeroU32::new(tries_now));
    world.recovery(handlers).options(options)
}

#[test]
fn a_run_hands_back_what_failed_as_often_as_it_may_and_the_next_run_goes_on() {
    on_every_store(|world| async move {
        world.lapsed("t", &[("k", "a"), ("k", "b")]).await?;
        let spy = HandlerSpy::that(&[Behaviour::Fails, Behaviour::Works, Behaviour::Fails, Behaviour::Works]);
        let wait = Span::from_secs(2);
        let told = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&told);
        let recovery = recovery(&world, &spy, 1, wait)
            .on_recovered(move |one| heard.lock().expect("a lock").push(one.reason.clone()));
        let report = recovery.once().await?;
        assert_eq!((report.of(Outcome::HandedBack), report.undone), (1, 0));
        let task = world.ledger.task("t").await?;
        assert!(task.lease().is_none() && task.state() == State::Compensating);
        let reason = told.lock().expect("a lock").pop().flatten();
        let words = "handed back after 1 try, due again in 2s: k failed: it did not work";
        assert_eq!(reason.as_deref(), Some(words));

        assert_eq!(recovery.once().await?.tasks, 0, "it is not due again");
        world.clock.advance(Duration::from_secs(2));
        let report = recovery.once().await?;
        assert_eq!((report.of(Outcome::HandedBack), report.undone), (1, 1), "the newer one is undone");
        world.clock.advance(Duration::from_secs(2));
        assert_eq!(recovery.once().await?.of(Outcome::Compensated), 1);
        assert_eq!(spy.targets(), ["b", "b", "a", "a"]);
        Ok(())
    });
}

#[test]
fn what_is_due_again_at_once_is_left_to_the_next_run_too() {
    on_every_store(|world| async move {
        world.lapsed("t", &[("k", "a")]).await?;
        let spy = HandlerSpy::that(&[Behaviour::Fails]);
        let recovery = recovery(&world, &spy, 2, Span::ZERO);
        assert_eq!(recovery.once().await?.of(Outcome::HandedBack), 1);
        assert_eq!(spy.calls().len(), 2, "two tries, and no more in this run");
        assert_eq!(recovery.once().await?.of(Outcome::Quarantined), 1, "the third try was the last one");
        let task = world.ledger.task("t").await?;
        assert_eq!(task.ending().map(|ending| ending.cause), Some(Cause::UndoFailed));
        Ok(())
    });
}

#[test]
fn a_handler_learns_the_saga_the_labels_and_the_payload_of_the_task() {
    on_every_store(|world| async move {
        let created = world.ledger.create("t").saga_id("release-7").label("issue", "168");
        created.payload(json!({"repo": "x"})).await?;
        world.taken("t", &[("k", "a")]).await?;
        world.ledger.relabel("t").set("pr", "12").await?;
        world.clock.advance(Duration::from_secs(60));
        let spy = HandlerSpy::that(&[Behaviour::Works]);
        world.recovery(spy.on("k")).once().await?;
        let call = spy.calls().pop().expect("a call");
        assert_eq!(call.saga_id, "release-7");
        let labels: Vec<(&str, &str)> =
            call.labels.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert_eq!(labels, [("issue", "168"), ("pr", "12")]);
        assert_eq!(call.payload.as_str(), r#"{"repo":"x"}"#);
        let json = serde_json::to_value(&call).expect("JSON");
        assert_eq!((&json["labels"]["pr"], &json["payload"]["repo"]), (&json!("12"), &json!("x")));
        Ok(())
    });
}

#[test]
fn labels_hold_from_the_takeover_until_the_task_is_undone() {
    on_every_store(|world| async move {
        world.ledger.create("t").label("issue", "168").payload(json!({"repo": "x"})).await?;
        world.taken("t", &[("lab", "a"), ("slow", "b")]).await?;
        world.clock.advance(Duration::from_secs(60));
        let (slow, lab) = (HandlerSpy::that(&[Behaviour::TakesWhenTold(0)]), Labelled::default());
        let handlers = slow.and(Handlers::new(), "slow").with("lab", quick_retries(), lab.clone());
        let recovery = world.recovery(handlers.expect("a kind"));
        let relabelled = async {
            until_asked("the undo of b", async || slow.running() == 1).await;
            world.ledger.relabel("t").unset("issue").set("pr", "12").await.expect("labelled");
            slow.lets_go(1);
        };
        let (report, ()) = tokio::join!(recovery.once(), relabelled);
        assert_eq!(
            (report.expect("it ran").of(Outcome::Compensated), lab.seen()),
            (1, vec!["168".to_owned()])
        );
        let task = world.ledger.task("t").await?;
        let labels: Vec<&str> = task.labels.keys().map(|key| key.as_str()).collect();
        assert_eq!((task.state(), labels), (State::Compensated, vec!["pr"]), "the change is there");

        // The next takeover uses the labels of then.
        world.ledger.create("u").label("issue", "168").await?;
        let by = world.taken("u", &[("lab", "a")]).await?.lease().expect("a lease").holder();
        world.ledger.relabel("u").unset("issue").await?;
        world.ledger.roll_back("u", &by, "over").await?;
        assert_eq!(recovery.once().await?.of(Outcome::Quarantined), 1);
        Ok(())
    });
}

/// It takes tasks with a label `issue`, and records its values.
#[derive(Clone, Default)]
struct Labelled(Arc<Mutex<Vec<String>>>);

impl Labelled {
    fn seen(&self) -> Vec<String> {
        self.0.lock().expect("a lock").clone()
    }
}

impl Handler for Labelled {
    fn accepts(&self, call: &UndoCall) -> Result<(), String> {
        call.labels
            .contains_key("issue")
            .then_some(())
            .ok_or_else(|| "the task has no label issue".to_owned())
    }

    fn undo(&self, call: UndoCall, _: LeaseWatch) -> BoxFuture<'static, Undone> {
        self.0.lock().expect("a lock").extend(call.labels.get("issue").cloned());
        Box::pin(async { Ok("done".to_owned()) })
    }
}
