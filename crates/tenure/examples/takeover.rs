//! A takeover: a worker falls silent, another goes on from its checkpoint, and the first one comes back too late.
//!
//! `cargo run -p tenure --example takeover`
#![allow(clippy::print_stdout)] // An example shows what happens.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tenure::clock::ManualClock;
use tenure::core::policy::{OnLapse, Policy};
use tenure::core::time::Time;
use tenure::store::memory::MemoryStore;
use tenure::{Error, Ledger};

#[tokio::main]
async fn main() -> Result<(), Error> {
    // A clock that is moved by hand, so that a minute of silence takes no minute.
    let clock = ManualClock::at(Time::from_micros(1_767_225_600_000_000));
    let ledger = Ledger::with_store(Arc::new(MemoryStore::with_clock(Arc::new(clock.clone()))));

    // Under `hold` nothing happens by itself when a lease lapses: the next worker goes on.
    let patient = Policy::default().with(|policy| policy.on_lapse = OnLapse::Hold);
    ledger.create("crawl").policy(patient).await?;
    let first = ledger.acquire("crawl", "w1").await?;
    let first = first.lease().unwrap_or_else(|| unreachable!("it was just acquired")).holder();
    clock.advance(Duration::from_secs(20));
    ledger.heartbeat("crawl", &first).checkpoint(json!({"page": 17})).await?;

    match ledger.acquire("crawl", "w2").await {
        Err(Error::Refused(refusal)) => println!("w2 is refused: {refusal}"),
        other => println!("w2 was not refused: {other:?}"),
    }

    clock.advance(Duration::from_secs(60));
    let task = ledger.acquire("crawl", "w2").await?;
    let second = task.lease().unwrap_or_else(|| unreachable!("it was just acquired")).holder();
    let checkpoint = task.checkpoint.as_ref().map_or("none", |checkpoint| checkpoint.as_str());
    println!("w2 took over at epoch {} and goes on from {checkpoint}", second.epoch);

    // w1 was only slow. It says that it is done, and is told that it is not its task any more.
    if let Err(late) = ledger.complete("crawl", &first).await {
        println!("w1 comes too late: {late}");
    }
    let done = ledger.complete("crawl", &second).await?;
    println!("{} is {}", done.id, done.state().as_str());
    Ok(())
}
