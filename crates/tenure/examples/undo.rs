//! An undo: a worker says beforehand how to undo each effect, dies, and recovery undoes what it did, newest first.
//!
//! `cargo run -p tenure --example undo`
#![allow(clippy::print_stdout)] // An example shows what happens.

use std::sync::Arc;
use std::time::Duration;

use tenure::clock::ManualClock;
use tenure::core::policy::Policy;
use tenure::core::time::Time;
use tenure::handler::{Handlers, UndoCall};
use tenure::recovery::Recovery;
use tenure::store::memory::MemoryStore;
use tenure::{Error, Ledger};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let clock = ManualClock::at(Time::from_micros(1_767_225_600_000_000));
    let ledger = Ledger::with_store(Arc::new(MemoryStore::with_clock(Arc::new(clock.clone()))));

    // The worktree is there in every attempt, so every attempt owes its removal.
    let twice = Policy::default().with(|policy| policy.max_attempts = 2);
    ledger.create("build-42").policy(twice).undo("remove-worktree", "/tmp/wt-42").await?;
    let task = ledger.acquire("build-42", "w1").await?;
    let worker = task.lease().unwrap_or_else(|| unreachable!("it was just acquired")).holder();
    // Registered before it is opened: if the worker dies in between, there is nothing to close, and that is fine.
    ledger.register("build-42", &worker, "close-pr", "12").reason("opened by this run").await?;

    println!("w1 dies");
    clock.advance(Duration::from_secs(60));
    // A handler may be asked twice for the same effect. The key stays the same, so that it can tell.
    let undo = |call: UndoCall| async move {
        println!("undoing {} {} under key {}", call.kind, call.target, call.key);
        Ok("done".to_owned())
    };
    let handlers = Handlers::new().on("close-pr", undo)?.on("remove-worktree", undo)?;
    let report = Recovery::new(ledger.clone()).handlers(handlers).once().await?;
    println!("recovery handled {} task, and has {} receipts", report.tasks, report.undone);

    let task = ledger.task("build-42").await?;
    println!("{} is {} again after {} attempt", task.id, task.state().as_str(), task.attempts);
    println!(
        "the history {}",
        if ledger.verify(None).await?.holds() { "verifies" } else { "was tampered with" }
    );
    Ok(())
}
