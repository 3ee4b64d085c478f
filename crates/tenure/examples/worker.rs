//! A worker: async functions with typed payloads for the tasks of a queue, each under a lease that is kept.
//!
//! `cargo run -p tenure --example worker`
#![allow(clippy::print_stdout)] // An example shows what happens.

use serde::{Deserialize, Serialize};
use serde_json::json;
use tenure::worker::{Job, Stop, WorkError, Worker};
use tenure::{Error, Ledger};

#[derive(Deserialize)]
struct Build {
    repo: String,
}

#[derive(Serialize)]
struct Built {
    pr: u32,
}

async fn build(job: Job<Build>) -> Result<Built, WorkError> {
    let (lease, repo) = (job.lease(), &job.payload.repo);
    // Before the effect: if this process dies in between, there is nothing to close, and that is fine.
    lease.undo_with("close-pr", repo, "opened by this build").await?;
    lease.progress(json!({"percent": 50})).await?;
    if repo == "gone" {
        // Any error rolls the task back; other kinds say otherwise.
        return Err(WorkError::Fail(format!("there is no repository {repo}")));
    }
    println!("{} built {repo} under epoch {}", lease.holder().owner, lease.holder().epoch);
    Ok(Built { pr: 12 })
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let ledger = Ledger::open("memory:").await?;
    for (id, repo) in [("build-42", "here"), ("build-43", "gone")] {
        ledger.create(id).queue("agents").kind("build").payload(json!({"repo": repo})).await?;
    }

    let worker = Worker::new(ledger.clone(), "agents").owner("w1")?.on("build", build)?.at_once(2);
    // A service would give it `Stop::on_signals()`.
    let report = worker.run(Stop::WhenIdle).await?;
    println!("of {} tasks {} completed and {} failed", report.claimed, report.completed, report.failed);
    for id in ["build-42", "build-43"] {
        println!("{id} is {}", ledger.task(id).await?.state().as_str());
    }
    Ok(())
}
