//! Stories of workers: what a function returns, and how its task ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use tenure::core::command::Action;
use tenure::core::task::{Cause, State};
use tenure::core::verb::Verb;
use tenure::stop::StopSignal;
use tenure::worker::{Job, Stop, WorkError, Worker, WorkerReport};
use tenure::{Error, Ledger};
use tenure_testkit::faulty::Fault;
use tenure_testkit::keeping::{KEPT, SHORT, in_memory, on_every_store};
use tenure_testkit::waiting::{until, until_asked};
use tokio::sync::{Notify, Semaphore};

#[derive(Deserialize)]
struct Build {
    repo: String,
}

async fn ended(ledger: &Ledger, id: &str) -> Result<(State, Option<Cause>, String), Error> {
    let task = ledger.task(id).await?;
    let ending = task.ending();
    let reason = ending.and_then(|ending| ending.reason.as_ref()).map(ToString::to_string);
    Ok((task.state(), ending.map(|ending| ending.cause), reason.unwrap_or_default()))
}

/// A worker that goes on until it is told to stop.
struct Working {
    stop: StopSignal,
    running: tokio::task::JoinHandle<Result<WorkerReport, Error>>,
}

fn start(worker: Worker) -> Working {
    let stop = StopSignal::new();
    let told = stop.clone();
    let running = tokio::spawn(async move { worker.run(Stop::WhenTold(told)).await });
    Working { stop, running }
}

impl Working {
    async fn end(self) -> WorkerReport {
        self.stop.stop();
        self.running.await.expect("it ends").expect("it worked")
    }
}

#[test]
fn what_a_function_returns_is_how_its_task_ends() {
    on_every_store(async |ledger, _| {
        for id in ["done", "worse", "later", "never", "strange"] {
            ledger.create(id).payload(json!({"repo": id})).await?;
        }
        let worker = Worker::new(ledger.clone(), "default").otherwise(async |job: Job<Build>| {
            match job.payload.repo.as_str() {
                "worse" => Err(std::io::Error::other("no such repo"))?,
                "later" => return Err(WorkError::Retry("busy".into(), Duration::from_secs(3_600))),
                "never" => return Err(WorkError::Fail("it is archived".into())),
                "strange" => return Err(WorkError::Quarantine("two of them".into())),
                _ => {}
            }
            Ok(serde_json::json!({ "pr": 12 }))
        });
        let report = worker.run(Stop::WhenIdle).await?;
        let counts =
            [report.completed, report.rolled_back, report.released, report.failed, report.quarantined];
        assert_eq!((report.claimed, counts), (5, [1; 5]));
        assert_eq!(ended(&ledger, "done").await?.0, State::Completed);
        let result = ledger.task("done").await?.ending().and_then(|ending| ending.result.clone());
        assert_eq!(result.expect("a result").as_str(), r#"{"pr":12}"#);
        let worse = ended(&ledger, "worse").await?;
        assert_eq!(worse, (State::Compensated, Some(Cause::RolledBack), "no such repo".into()));
        let later = ledger.task("later").await?;
        assert_eq!((later.state(), later.attempts), (State::Planned, 0), "it does not count");
        assert_eq!(
            ended(&ledger, "never").await?,
            (State::Failed, Some(Cause::Failed), "it is archived".into())
        );
        assert_eq!(ended(&ledger, "strange").await?.0, State::Quarantined);
        Ok(())
    });
}

#[test]
fn a_panic_is_an_error_like_any_other_and_stops_nobody_else() {
    in_memory(async |ledger, _| {
        ledger.create("bad").await?;
        ledger.create("good").await?;
        let worker = Worker::new(ledger.clone(), "default").otherwise(async |job: Job<Value>| {
            assert_ne!(job.lease().id().as_str(), "bad", "this one is bad");
            Ok(())
        });
        let report = worker.run(Stop::WhenIdle).await?;
        assert_eq!((report.completed, report.rolled_back), (1, 1));
        let (state, _, reason) = ended(&ledger, "bad").await?;
        assert_eq!(state, State::Compensated);
        assert!(reason.starts_with("the work panicked: ") && reason.contains("this one is bad"), "{reason}");
        Ok(())
    });
}

#[test]
fn a_payload_that_is_not_what_was_expected_and_a_kind_that_nobody_does_are_parked() {
    in_memory(async |ledger, _| {
        ledger.create("wrong").kind("build").payload(json!({"repository":"x"})).await?;
        ledger.create("unknown").kind("deploy").await?;
        let build = async |_: Job<Build>| Ok(());
        Worker::new(ledger.clone(), "default").on("build", build)?.run(Stop::WhenIdle).await?;
        let (state, _, reason) = ended(&ledger, "wrong").await?;
        assert!(state == State::Quarantined && reason.contains("missing field `repo`"), "{reason}");
        let (state, _, reason) = ended(&ledger, "unknown").await?;
        assert!(state == State::Quarantined && reason.contains("kind deploy"), "{reason}");
        Ok(())
    });
}

#[test]
fn it_does_so_many_at_once_and_no_more() {
    in_memory(async |ledger, store| {
        for nth in 0..20 {
            ledger.create(&format!("t{nth}")).await?;
        }
        let (now, most, begun) =
            (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let may_end = Arc::new(Semaphore::new(0));
        let (counted, highest) = (Arc::clone(&now), Arc::clone(&most));
        let (beginning, ending) = (Arc::clone(&begun), Arc::clone(&may_end));
        let worker = Worker::new(ledger.clone(), "default").at_once(3).otherwise(move |_: Job<Value>| {
            let (now, most) = (Arc::clone(&counted), Arc::clone(&highest));
            let (begun, may_end) = (Arc::clone(&beginning), Arc::clone(&ending));
            async move {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                begun.fetch_add(1, Ordering::SeqCst);
                may_end.acquire().await.expect("it is never closed").forget();
                now.fetch_sub(1, Ordering::SeqCst);
                Ok(())
            }
        });
        // One after the other ends, and the next one takes its place.
        let letting_go = async {
            until("three are begun", || begun.load(Ordering::SeqCst) >= 3).await;
            for ended in 1..=17 {
                may_end.add_permits(1);
                until("the next is begun", || begun.load(Ordering::SeqCst) >= 3 + ended).await;
            }
            may_end.add_permits(3);
        };
        let (report, ()) = tokio::join!(worker.run(Stop::WhenIdle), letting_go);
        assert_eq!(report?.completed, 20);
        assert_eq!(most.load(Ordering::SeqCst), 3);
        let limits = store.arrived().into_iter().filter_map(|command| match command.action {
            Action::Claim { limit, .. } => Some(limit),
            _ => None,
        });
        let limits: Vec<u32> = limits.take(18).collect();
        assert_eq!((limits[0], &limits[1..]), (3, &[1; 17][..]), "it claims what it has room for");
        Ok(())
    });
}

#[test]
fn a_function_may_end_its_task_itself() {
    in_memory(async |ledger, _| {
        ledger.create("a").await?;
        let worker = Worker::new(ledger.clone(), "default").otherwise(async |job: Job<Value>| {
            job.lease().fail("it says so itself").await?;
            Ok(())
        });
        let report = worker.run(Stop::WhenIdle).await?;
        assert_eq!((report.completed, report.unrecorded), (1, 0));
        assert_eq!(ended(&ledger, "a").await?.0, State::Failed);
        Ok(())
    });
}

/// Says when it is dropped.
struct Guard(Arc<Notify>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

#[test]
fn a_function_whose_lease_is_lost_is_dropped_and_nothing_is_recorded() {
    in_memory(async |ledger, _| {
        ledger.create("a").await?;
        let (began, dropped) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (tell, guard) = (Arc::clone(&began), Arc::clone(&dropped));
        let worker = Worker::new(ledger.clone(), "default").ttl(SHORT).otherwise(move |_: Job<Value>| {
            let (tell, guard) = (Arc::clone(&tell), Guard(Arc::clone(&guard)));
            async move {
                let _guard = guard;
                tell.notify_one();
                std::future::pending::<Result<(), WorkError>>().await
            }
        });
        let working = start(worker);
        began.notified().await;
        ledger.mark_quarantined("a", "a person looks at it").await?;
        dropped.notified().await;
        let report = working.end().await;
        assert_eq!((report.lost, report.completed), (1, 0));
        assert_eq!(ended(&ledger, "a").await?.2, "a person looks at it");
        Ok(())
    });
}

#[test]
fn work_that_ended_in_time_is_recorded_although_its_lease_ran_out_before_it_came_back() {
    in_memory(async |ledger, store| {
        ledger.create("a").await?;
        store.meets(Verb::Heartbeat, Fault::Swallows);
        let worker = Worker::new(ledger.clone(), "default").ttl(SHORT).attended(async |lease, _| {
            lease.work_is_over();
            // As for what it started and had to end.
            lease.lost().await;
            Ok(None)
        });
        assert_eq!(worker.run(Stop::WhenIdle).await?.completed, 1);
        assert_eq!(ended(&ledger, "a").await?.0, State::Completed);
        Ok(())
    });
}

#[test]
fn a_service_stops_its_worker_when_it_is_told_to_end() {
    in_memory(async |ledger, _| {
        let stop = Stop::on_signals().expect("it listens");
        let worker = Worker::new(ledger.clone(), "default").otherwise(async |_: Job<Value>| Ok(()));
        let running = tokio::spawn(async move { worker.run(stop).await });
        let this = rustix::process::getpid();
        rustix::process::kill_process(this, rustix::process::Signal::TERM).expect("sent");
        assert_eq!(running.await.expect("it ends")?.claimed, 0);
        Ok(())
    });
}

#[test]
fn who_is_asked_to_stop_gets_a_grace_and_is_rolled_back() {
    in_memory(async |ledger, _| {
        ledger.create("a").await?;
        let worker = Worker::new(ledger.clone(), "default").ttl(KEPT).grace(Duration::from_millis(10));
        let worker =
            worker.otherwise(async |_: Job<Value>| std::future::pending::<Result<(), WorkError>>().await);
        let working = start(worker);
        until_asked("the claim", async || {
            ledger.task("a").await.is_ok_and(|it| it.state() == State::Running)
        })
        .await;
        ledger.cancel("a", "enough").await?;
        until_asked("its end", async || ledger.task("a").await.expect("a task").ending().is_some()).await;
        assert_eq!(ended(&ledger, "a").await?.1, Some(Cause::Cancelled));
        assert_eq!(working.end().await.rolled_back, 1);
        Ok(())
    });
}

#[test]
fn told_to_stop_it_claims_no_more_and_gives_back_what_does_not_end_in_time() {
    on_every_store(async |ledger, _| {
        for id in ["quick", "slow"] {
            ledger.create(id).await?;
        }
        let go = Arc::new(Notify::new());
        let may_go = Arc::clone(&go);
        let begun = Arc::new(AtomicUsize::new(0));
        let begins = Arc::clone(&begun);
        let worker = Worker::new(ledger.clone(), "default").at_once(2).grace(Duration::from_secs(2));
        let worker = worker.otherwise(move |job: Job<Value>| {
            let may_go = Arc::clone(&may_go);
            begins.fetch_add(1, Ordering::SeqCst);
            async move {
                if job.lease().id().as_str() == "slow" {
                    std::future::pending::<()>().await;
                }
                may_go.notified().await;
                Ok(())
            }
        });
        let working = start(worker);
        // A task that is leased and did not begin would be given back.
        until_asked("both", async || begun.load(Ordering::SeqCst) == 2).await;
        // It has no room for that one yet. When it has, it was told to stop.
        ledger.create("late").await?;
        working.stop.stop();
        // What is left to do for it fits into the grace many times.
        go.notify_one();
        let report = working.end().await;
        assert_eq!((report.completed, report.released), (1, 1));
        let slow = ledger.task("slow").await?;
        assert_eq!((slow.state(), slow.attempts), (State::Planned, 0));
        assert_eq!(ledger.task("late").await?.epoch.0, 0, "it was never claimed");
        Ok(())
    });
}

#[test]
fn a_store_that_is_away_for_a_while_ends_no_worker_and_loses_no_claim() {
    in_memory(async |ledger, store| {
        store.meets_times(2, Verb::Claim, Fault::Unavailable);
        ledger.create("a").await?;
        let working = start(Worker::new(ledger.clone(), "default").otherwise(async |_: Job<Value>| Ok(())));
        until_asked("its end", async || ledger.task("a").await.expect("a task").ending().is_some()).await;
        // A claim that was granted and not answered is asked for again, under its name.
        store.meets_times(1, Verb::Claim, Fault::DoesAndIsUnsure);
        ledger.create("b").await?;
        until_asked("its end", async || ledger.task("b").await.expect("a task").ending().is_some()).await;
        assert_eq!(ledger.task("b").await?.epoch.0, 1, "granted once");
        assert_eq!(working.end().await.completed, 2);
        Ok(())
    });
}

#[test]
fn it_waits_for_work_without_a_claim_each_time_it_looks() {
    in_memory(async |ledger, store| {
        let working = start(Worker::new(ledger.clone(), "default").otherwise(async |_: Job<Value>| Ok(())));
        until("a look", || store.count(Verb::Claim) == 1).await;
        // Things happen that are none of its business.
        for nth in 0..50 {
            ledger.create(&format!("other-{nth}")).queue("elsewhere").await?;
        }
        ledger.create("a").await?;
        until_asked("its end", async || ledger.task("a").await.expect("a task").ending().is_some()).await;
        assert!(store.count(Verb::Claim) <= 4, "{} claims", store.count(Verb::Claim));
        working.end().await;
        Ok(())
    });
}
