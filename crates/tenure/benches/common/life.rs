//! Work of the ledger's callers through its public API: tasks that are created, taken, renewed and completed, one by one and
//! in explicit batches.
#![allow(dead_code)] // Each bench uses a part.

use std::time::{Duration, Instant};

use serde_json::json;
use tenure::Ledger;
use tenure::store::Answer;
use tenure_core::command::{Command, Holder};

const OWNER: &str = "host/123/worker-17";
/// Longer than any measurement: a store with a million leases takes minutes to fill.
const LONG: Duration = Duration::from_secs(48 * 3600);

/// A life: create, acquire, heartbeats, complete.
#[derive(Clone, Copy)]
pub(crate) struct Life {
    pub(crate) heartbeats: usize,
}

impl Life {
    pub(crate) const FULL: Life = Life { heartbeats: 3 };
    /// With nothing between its three transitions.
    pub(crate) const SHORT: Life = Life { heartbeats: 0 };

    pub(crate) fn commands(self) -> usize {
        self.heartbeats + 3
    }
}

/// One life, a call for each step.
pub(crate) async fn live(ledger: &Ledger, id: &str, life: Life) {
    ledger.create(id).queue("q").payload(json!({"n":1})).await.expect("created");
    let task = ledger.acquire(id, OWNER).await.expect("acquired");
    let by = task.lease().expect("a lease").holder();
    for beat in 1..=life.heartbeats {
        ledger.heartbeat(id, &by).ttl(ttl(beat as u64)).await.expect("renewed");
    }
    ledger.complete(id, &by).result(json!({"ok":true})).await.expect("completed");
}

/// Lives side by side, a step of all of them in one call. Adds how long each call took.
pub(crate) async fn live_together(
    ledger: &Ledger,
    names: &[String],
    life: Life,
    latencies: &mut Vec<Duration>,
) -> u64 {
    let create =
        |id: &String| ledger.create(id).queue("q").payload(json!({"n":1})).command().expect("a command");
    call(ledger, names.iter().map(create).collect(), latencies).await;
    let acquire = |id: &String| ledger.acquire(id, OWNER).command().expect("a command");
    let acquired = call(ledger, names.iter().map(acquire).collect(), latencies).await;
    let holders: Vec<Holder> = acquired.into_iter().map(holder).collect();
    for beat in 1..=life.heartbeats {
        let beat = |(id, by): (&String, &Holder)| {
            ledger.heartbeat(id, by).ttl(ttl(beat as u64)).command().expect("a command")
        };
        call(ledger, names.iter().zip(&holders).map(beat).collect(), latencies).await;
    }
    let complete = |(id, by): (&String, &Holder)| {
        ledger.complete(id, by).result(json!({"ok":true})).command().expect("a command")
    };
    call(ledger, names.iter().zip(&holders).map(complete).collect(), latencies).await.len() as u64
}

/// Creates tasks and takes a lease of each, in one batch.
pub(crate) async fn lease_together(ledger: &Ledger, names: &[String]) -> Vec<Holder> {
    let create = |id: &String| ledger.create(id).command().expect("a command");
    call(ledger, names.iter().map(create).collect(), &mut Vec::new()).await;
    let acquire = |id: &String| ledger.acquire(id, OWNER).ttl(LONG).command().expect("a command");
    let acquired = call(ledger, names.iter().map(acquire).collect(), &mut Vec::new()).await;
    acquired.into_iter().map(holder).collect()
}

/// An explicit batch, of which nothing is refused. Adds how long it took.
pub(crate) async fn call(
    ledger: &Ledger,
    commands: Vec<Command>,
    latencies: &mut Vec<Duration>,
) -> Vec<Answer> {
    let began = Instant::now();
    let answers = ledger.transact(commands).await;
    latencies.push(began.elapsed());
    answers.into_iter().map(|answer| answer.expect("done")).collect()
}

fn holder(answer: Answer) -> Holder {
    let Answer::Task(task) = answer else { panic!("not a task") };
    task.lease().expect("a lease").holder()
}

pub(crate) fn name(at: usize) -> String {
    format!("task-{at:08}")
}

/// Another one each time, so that every heartbeat changes what is stored. None is shorter than the lease was: recovery would
/// have to look earlier, which costs the writes of an index.
pub(crate) fn ttl(round: u64) -> Duration {
    LONG + Duration::from_secs(round % 80_000)
}
