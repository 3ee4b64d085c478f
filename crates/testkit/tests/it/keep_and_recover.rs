//! Kept leases, workers and recovery on PostgreSQL: several nodes on one schema.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tenure::core::compensation::Status;
use tenure::core::policy::{Backoff, Policy};
use tenure::core::task::{State, Task};
use tenure::core::time::Span;
use tenure::handler::Handlers;
use tenure::recovery::{Recovery, RecoveryOptions};
use tenure::stop::StopSignal;
use tenure::store::Filter;
use tenure::store::watch::Presence;
use tenure::worker::{Job, Stop, WorkError, Worker};
use tenure::{Error, Ledger};
use tenure_testkit::block_on;
use tenure_testkit::keeping::{KEPT, SHORT};
use tenure_testkit::server::{Server, required};
use tenure_testkit::waiting::until_asked;

const TASKS: usize = 40;

async fn all(ledger: &Ledger) -> Vec<Task> {
    ledger.tasks(Filter::default(), None, 1_000).await.expect("a list").items
}

#[test]
fn two_nodes_work_through_a_queue_and_undo_what_fails_and_nothing_is_undone_twice() {
    let Some(server) = required(Server::shared()) else { return };
    let url = server.url(&server.fresh_schema());
    block_on(async {
        let backoff = Backoff { base: Span::from_millis(20), ..Backoff::default() };
        let policy = Policy::default().with(|policy| {
            policy.max_attempts = 2;
            policy.backoff = backoff;
        });
        let ledger = Ledger::open(&url).await?;
        for nth in 0..TASKS {
            ledger.create(&format!("t{nth}")).policy(policy).undo("k", "standing").await?;
        }
        let undone = Arc::new(Mutex::new(Vec::new()));
        let stop = StopSignal::new();
        let mut nodes = Vec::new();
        for node in ["one", "two"] {
            let ledger = Ledger::open(&url).await?;
            let worker = Worker::new(ledger.clone(), "default").owner(node)?.at_once(4).ttl(KEPT * 10);
            let worker = worker.otherwise(async |job: Job<Value>| {
                job.lease().undo_with("k", "under the lease", "before the effect").await?;
                // Every second task fails once.
                let task = job.lease().task();
                let is_odd = task.id.as_str().ends_with(['1', '3', '5', '7', '9']);
                if is_odd && task.attempts == 1 { Err(WorkError::RollBack("once".into())) } else { Ok(()) }
            });
            let kept = Arc::clone(&undone);
            let handlers = Handlers::new().on("k", move |call| {
                let kept = Arc::clone(&kept);
                async move {
                    kept.lock().expect("a list").push(call.key);
                    Ok("gone".to_owned())
                }
            })?;
            let recovery = Recovery::new(ledger).handlers(handlers).options(RecoveryOptions::default());
            let (told, looking) = (stop.clone(), stop.clone());
            nodes.push(tokio::spawn(async move { worker.run(Stop::WhenTold(told)).await.map(drop) }));
            nodes.push(tokio::spawn(async move { recovery.watch(looking).await.map(drop) }));
        }
        until_asked("the end of all", async || all(&ledger).await.iter().all(|task| task.ending().is_some()))
            .await;
        stop.stop();
        for node in nodes {
            node.await.expect("it ends")?;
        }
        let tasks = all(&ledger).await;
        assert!(tasks.iter().all(|task| task.state() == State::Completed), "{tasks:#?}");
        let undone = undone.lock().expect("a list").clone();
        assert_eq!(undone.iter().collect::<BTreeSet<_>>().len(), undone.len(), "none twice: nobody died");
        assert_eq!(undone.len(), TASKS, "two for each that failed once");
        let done = |task: &Task| task.compensations.iter().filter(|one| one.status == Status::Done).count();
        assert_eq!(tasks.iter().map(done).sum::<usize>(), TASKS / 2, "what stood was owed anew");
        assert!(ledger.verify(None).await?.holds());
        Ok::<(), Error>(())
    })
    .expect("on PostgreSQL");
}

#[test]
fn a_lease_is_kept_over_its_length_and_what_is_not_kept_is_reclaimed() {
    let Some(server) = required(Server::shared()) else { return };
    let url = server.url(&server.fresh_schema());
    block_on(async {
        let ledger = Ledger::open(&url).await?;
        for id in ["kept", "dropped"] {
            ledger.create(id).await?;
        }
        let kept = ledger.acquire("kept", "w1").ttl(KEPT).keep().await?;
        drop(ledger.acquire("dropped", "w1").ttl(SHORT).keep().await?);
        let stop = StopSignal::new();
        let (recovery, told) = (Recovery::new(Ledger::open(&url).await?), stop.clone());
        let metrics = recovery.metrics();
        let looking = tokio::spawn(async move { recovery.watch(told).await });
        let is_reclaimed = async || ledger.task("dropped").await.is_ok_and(|task| task.ending().is_some());
        until_asked("the reclaim", is_reclaimed).await;
        // Past the length of the other one, counted from its grant.
        let first_end = kept.task().lease().expect("a lease").expires_at;
        until_asked("its first end", async || ledger.now().await.is_ok_and(|now| now > first_end)).await;
        kept.complete().await?;
        stop.stop();
        looking.await.expect("it ends")?;
        assert_eq!(metrics.snapshot().store_errors, 0);
        Ok::<(), Error>(())
    })
    .expect("on PostgreSQL");
}

#[test]
fn an_absence_is_remembered_by_the_database_for_whoever_comes() {
    let Some(server) = required(Server::shared()) else { return };
    let url = server.url(&server.fresh_schema());
    block_on(async {
        use tenure::clock::ManualClock;
        let clock = ManualClock::at(tenure_testkit::BEGINNING);
        let open = async || Ledger::builder().clock(Arc::new(clock.clone())).open(&url).await;
        let (one, other) = (open().await?, open().await?);
        assert_eq!(one.store().watch(Presence::default()).await?, None, "a new store was not left alone");
        clock.advance(Duration::from_secs(4));
        assert_eq!(other.store().watch(Presence::default()).await?, None);
        clock.advance(Duration::from_secs(60));
        let absence = one.store().watch(Presence::default()).await?.expect("nobody was there");
        assert_eq!(absence.until.since(absence.from), Span::from_secs(60));
        clock.advance(Duration::from_secs(1));
        assert_eq!(other.store().watch(Presence::default()).await?, Some(absence));
        Ok::<(), Error>(())
    })
    .expect("on PostgreSQL");
}
