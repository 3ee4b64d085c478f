//! A process of its own for tests that need more than one, or one to kill. It tells what it was answered, line by line.

use std::io::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tenure::core::refusal::Code;
use tenure::{Error, Ledger};
use tenure_testkit::block_on;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let word = |at: usize| words.get(at).map(String::as_str).expect("a word");
    match word(0) {
        "race" => block_on(race(
            word(1),
            word(2),
            word(3).parse().expect("a time"),
            word(4).parse().expect("a count"),
        )),
        "load" => block_on(load(word(1), word(2), word(3).parse().expect("a count"))),
        "claim" => block_on(claim(word(1), word(2), word(3), word(4).parse().expect("a count"))),
        "open" => drop(block_on(open(word(1)))),
        other => panic!("{other}?"),
    }
}

async fn open(url: &str) -> Ledger {
    Ledger::open(url).await.expect("the store opens")
}

fn tell(line: &str) {
    let mut out = std::io::stdout().lock();
    // Whoever listens may be gone; then there is nobody to tell.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// Tries for one lease a round, at the same moment as every other process.
async fn race(url: &str, owner: &str, begins_at_millis: u64, rounds: u64) {
    let ledger = open(url).await;
    for round in 0..rounds {
        let begins = UNIX_EPOCH + Duration::from_millis(begins_at_millis + round * 20);
        let wait = begins.duration_since(SystemTime::now()).unwrap_or_default();
        tokio::time::sleep(wait).await;
        match ledger.acquire(&format!("race-{round}"), owner).await {
            Ok(task) => tell(&format!("{round} won {}", task.epoch)),
            Err(Error::Refused(refusal)) if refusal.code == Code::Leased => {
                let held = refusal.held_by.expect("who holds it");
                tell(&format!("{round} lost {} {}", held.owner, held.until.as_micros()));
            }
            Err(error) => tell(&format!("{round} error {error}")),
        }
    }
}

/// Works through lives, many at once, until it is killed. Every line was answered before it was told.
async fn load(url: &str, name: &str, callers: usize) {
    let ledger = open(url).await;
    let callers: Vec<_> = (0..callers)
        .map(|caller| {
            let (ledger, name) = (ledger.clone(), format!("{name}-{caller}"));
            tokio::spawn(async move {
                for life in 0.. {
                    live(&ledger, &format!("{name}-{life}"), &name).await;
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.expect("a caller");
    }
}

async fn live(ledger: &Ledger, id: &str, owner: &str) {
    let task = ledger.create(id).undo("a", "x").payload(r#"{"n":1}"#).await.expect("created");
    tell(&format!("{id} {} -", task.revision));
    let task = ledger.acquire(id, owner).await.expect("acquired");
    tell(&format!("{id} {} {}", task.revision, task.lease().expect("a lease").expires_at.as_micros()));
    let holder = task.lease().expect("a lease").holder();
    let task = ledger.register(id, &holder, "b", "y").await.expect("registered");
    tell(&format!("{id} {} -", task.revision));
    let renewal = ledger.heartbeat(id, &holder).checkpoint("[1]").await.expect("renewed");
    tell(&format!("{id} {} {}", task.revision, renewal.expires_at.as_micros()));
    let task = match id.len() % 3 {
        0 => ledger.complete(id, &holder).await.expect("completed"),
        1 => ledger.fail(id, &holder, "no").await.expect("failed"),
        _ => ledger.roll_back(id, &holder, "no").await.expect("rolled back"),
    };
    tell(&format!("{id} {} -", task.revision));
}

/// Claims from a queue until nothing is left in it, and tells what it was given, a line for each claim.
async fn claim(url: &str, owner: &str, queue: &str, limit: u32) {
    let ledger = open(url).await;
    loop {
        let tasks = ledger.claim(queue, owner).limit(limit).ttl(Duration::from_secs(3_600)).await;
        let tasks = tasks.expect("claimed");
        assert!(tasks.len() <= limit as usize, "{} tasks of {limit}", tasks.len());
        if tasks.is_empty() {
            tell("empty");
            return;
        }
        tell(&tasks.iter().map(|task| task.id.as_str()).collect::<Vec<_>>().join(" "));
    }
}
