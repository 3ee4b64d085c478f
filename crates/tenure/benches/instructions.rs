//! Does a number of pieces of work and nothing else, so that the instructions of one can be counted: those of two runs of different
//! length are subtracted. `cargo xtask instructions` runs it under callgrind.
//!
//! `cargo bench -p tenure --bench instructions -- PATH PIECES FOLDER`
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, missing_docs)] // A bench stops where it is surprised.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use serde_json::json;
use tenure::Ledger;
use tenure::store::Answer;
use tenure_core::command::{Command, Holder};

/// Commands of one explicit batch.
const BATCH: usize = 100;
const USAGE: &str =
    "PATH PIECES FOLDER, where PATH is one of memory-life, file-life, file-batch, file-heartbeats";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let [path, pieces, folder] = &words[..] else {
        // A run of all benches gives nothing.
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let pieces: usize = pieces.parse().expect("a number of pieces");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let file = format!("sqlite:{}", Path::new(folder).join("tasks.db").display());
        match path.as_str() {
            "memory-life" => lives(&Ledger::open("memory:").await.expect("opens"), pieces).await,
            "file-life" => lives(&Ledger::open(&file).await.expect("opens"), pieces).await,
            "file-batch" => batches(&Ledger::open(&file).await.expect("opens"), pieces, 0).await,
            "file-heartbeats" => {
                batches(&Ledger::open(&file).await.expect("opens"), BATCH, pieces / BATCH).await
            }
            _ => panic!("{USAGE}"),
        }
    });
    ExitCode::SUCCESS
}

/// By one caller, a command in each call.
async fn lives(ledger: &Ledger, count: usize) {
    for at in 0..count {
        let id = name(at);
        ledger.create(&id).queue("q").payload(json!({"n": 1})).await.expect("created");
        let task = ledger.acquire(&id, "host/123/worker-17").await.expect("acquired");
        let by = task.lease().expect("a lease").holder();
        for beat in 1..=3 {
            ledger.heartbeat(&id, &by).ttl(ttl(beat)).await.expect("renewed");
        }
        ledger.complete(&id, &by).result(json!({"ok": true})).await.expect("completed");
    }
}

/// In explicit batches, which renew each lease `beats` times.
async fn batches(ledger: &Ledger, count: usize, beats: usize) {
    for first in (0..count).step_by(BATCH) {
        let names: Vec<String> = (first..first + BATCH).map(name).collect();
        let create = |id: &String| ledger.create(id).queue("q").payload(json!({"n": 1})).command();
        transact(ledger, names.iter().map(|id| create(id).expect("a command")).collect()).await;
        let acquire = |id: &String| ledger.acquire(id, "host/123/worker-17").command();
        let leased = transact(ledger, names.iter().map(|id| acquire(id).expect("a command")).collect()).await;
        let holders: Vec<Holder> = leased.iter().map(holder).collect();
        let leased = || names.iter().zip(&holders);
        for beat in 1..=beats {
            let renew = |(id, by): (&String, &Holder)| ledger.heartbeat(id, by).ttl(ttl(beat)).command();
            transact(ledger, leased().map(|one| renew(one).expect("a command")).collect()).await;
        }
        let complete =
            |(id, by): (&String, &Holder)| ledger.complete(id, by).result(json!({"ok": true})).command();
        transact(ledger, leased().map(|one| complete(one).expect("a command")).collect()).await;
    }
}

async fn transact(ledger: &Ledger, commands: Vec<Command>) -> Vec<Answer> {
    ledger.transact(commands).await.into_iter().map(|answer| answer.expect("done")).collect()
}

fn holder(answer: &Answer) -> Holder {
    let Answer::Task(task) = answer else { panic!("not a task") };
    task.lease().expect("a lease").holder()
}

fn name(at: usize) -> String {
    format!("task-{at:08}")
}

/// Another one each time, so that every heartbeat changes what is stored.
fn ttl(beat: usize) -> Duration {
    Duration::from_secs(60 + beat as u64)
}
