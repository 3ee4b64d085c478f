//! A first lease: create a task, take it, say that you are alive, and end it.
//!
//! `cargo run -p tenure --example first_lease`
#![allow(clippy::print_stdout)] // An example shows what happens.

use std::time::Duration;

use serde_json::json;
use tenure::{Error, Ledger};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let ledger = Ledger::open("memory:").await?;
    ledger.create("build-42").queue("agents").payload(json!({"repo": "x"})).await?;

    // A worker asks for the next task of its queue; it gets the task with its lease, or none.
    let claimed = ledger.claim("agents", "host/1/agent-3").ttl(Duration::from_secs(60)).await?;
    for task in claimed {
        let lease = task.lease().unwrap_or_else(|| unreachable!("a claimed task is leased"));
        println!("{} is held by {} at epoch {}", task.id, lease.owner, lease.epoch);
        let holder = lease.holder();

        tokio::time::sleep(Duration::from_millis(20)).await;
        let renewal = ledger.heartbeat("build-42", &holder).progress(json!({"percent": 40})).await?;
        println!("renewed until {}", tenure::instant::print(renewal.expires_at));

        let done = ledger.complete("build-42", &holder).result(json!({"pr": 12})).await?;
        println!("{} is {}", done.id, done.state().as_str());
    }

    for recorded in ledger.history("build-42", None, 100).await?.items {
        println!("{:>3} {:<10} {}", recorded.event.number, recorded.event.what.kind(), recorded.data);
    }
    Ok(())
}
