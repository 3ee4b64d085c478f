//! A child process for tests that need several processes, or one to kill. It prints each answer that it gets, line by
//! line.

use std::io::{BufReader, Write};
use std::time::Duration;

use serde_json::json;
use tenure::clock::Moment;
use tenure::core::refusal::Code;
use tenure::core::time::Span;
use tenure::process::{Containment, Input, Launch, Limit, TerminalAccess};
use tenure::store::IfMissing;
use tenure::transfer::{Exporter, Importer, TokenHashes};
use tenure::{Error, Ledger};
use tenure_testkit::block_on;

fn main() {
    tenure::process::serve_if_asked();
    let words: Vec<String> = std::env::args().skip(1).collect();
    let word = |at: usize| words.get(at).map(String::as_str).expect("a word");
    match word(0) {
        "race" => block_on(race(word(1), word(2))),
        "load" => block_on(load(word(1), word(2), word(3).parse().expect("a count"))),
        "claim" => block_on(claim(word(1), word(2), word(3), word(4).parse().expect("a count"))),
        "hold" => block_on(hold(word(1), &words[2..])),
        "terminal" => block_on(terminal(TerminalAccess::HandOver, &words[1..])),
        "terminal-on-demand" => block_on(terminal(TerminalAccess::OnDemand, &words[1..])),
        "tick" => tick(word(1)),
        "export" => block_on(export(word(1))),
        "import" => block_on(import(word(1), word(2))),
        "open" => drop(block_on(open(word(1)))),
        "migrate" => drop(block_on(migrate(word(1)))),
        other => panic!("{other}?"),
    }
}

async fn open(url: &str) -> Ledger {
    Ledger::open(url).await.expect("the store opens")
}

/// As `tenure migrate` does.
async fn migrate(url: &str) -> Ledger {
    let opener = Ledger::builder().missing(IfMissing::Refuse);
    opener.open(url).await.expect("the store is migrated")
}

fn tell(line: &str) {
    let mut out = std::io::stdout().lock();
    // The reader may be gone; then nobody needs the line.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// Tries for one lease in each round, when a line on standard input says so.
async fn race(url: &str, owner: &str) {
    let ledger = open(url).await;
    tell("ready");
    let lines = std::io::stdin().lines().map_while(Result::ok);
    for (round, _) in lines.enumerate() {
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

/// Prints the lines of an export.
async fn export(url: &str) {
    let ledger = open(url).await;
    let mut exporter = Exporter::begin(ledger.store().as_ref(), TokenHashes::Left).await.expect("begun");
    let mut out = std::io::stdout().lock();
    while let Some(lines) = exporter.next().await.expect("exported") {
        out.write_all(&lines).and_then(|()| out.flush()).expect("written");
    }
}

/// Imports a file in small transactions, and tells of each.
async fn import(url: &str, path: &str) {
    let ledger = open(url).await;
    let file = BufReader::new(std::fs::File::open(path).expect("the file"));
    let mut importer = Importer::begin(ledger.store().as_ref(), file).expect("begun").in_batches_of(10);
    while let Some(refused) = importer.next().await.expect("imported") {
        assert_eq!(refused, [], "nothing is refused");
        tell(&format!("{}", importer.report().written.lines));
    }
}

/// Runs whole task lives, many at once, until it is killed. Every line is printed after its answer.
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
    let task = ledger.create(id).undo("a", "x").payload(json!({"n":1})).await.expect("created");
    tell(&format!("{id} {} -", task.revision));
    let task = ledger.acquire(id, owner).await.expect("acquired");
    tell(&format!("{id} {} {}", task.revision, task.lease().expect("a lease").expires_at.as_micros()));
    let holder = task.lease().expect("a lease").holder();
    let task = ledger.register(id, &holder, "b", "y").await.expect("registered");
    tell(&format!("{id} {} -", task.revision));
    let renewal = ledger.heartbeat(id, &holder).checkpoint(json!([1])).await.expect("renewed");
    tell(&format!("{id} {} {}", task.revision, renewal.expires_at.as_micros()));
    let task = match id.len() % 3 {
        0 => ledger.complete(id, &holder).await.expect("completed"),
        1 => ledger.fail(id, &holder, "no").await.expect("failed"),
        _ => ledger.roll_back(id, &holder, "no").await.expect("rolled back"),
    };
    tell(&format!("{id} {} -", task.revision));
}

/// Claims from a queue until it is empty, and prints a line for each claim with what it was granted.
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

/// Runs a command, and tells its process and its end. Each line that it reads is the number of milliseconds after which the
/// command is asked to end.
async fn hold(containment: &str, command: &[String]) {
    let containment = match containment {
        "group" => Containment::GroupOnly,
        _ => Containment::CgroupIfPossible,
    };
    let launch = Launch::new(&command[0]).args(&command[1..]).containment(containment).input(Input::Nothing);
    let mut running = launch.orphan_grace(Duration::from_millis(300)).start().await.expect("it starts");
    tell(&format!("started {}", running.pid()));
    let (send, mut limits) = tokio::sync::mpsc::unbounded_channel();
    std::thread::spawn(move || {
        let millis = std::io::stdin().lines().map_while(|line| line.ok()?.parse::<u64>().ok());
        for millis in millis {
            // When the command has ended, nobody reads it.
            let _: Result<(), _> = send.send(millis);
        }
    });
    let end = loop {
        tokio::select! {
            end = running.ended() => break end,
            Some(millis) = limits.recv() => {
                let ask = Moment::now() + Span::from_millis(millis);
                running.may_run_until(Limit { ask, kill: ask + Span::from_millis(500) });
                tell("limited");
            }
        }
    };
    tell(&format!("ended {end:?}"));
    tell(&format!("finished {:?}", running.finish(Duration::from_millis(300)).await));
}

/// Appends to a file repeatedly. It starts no process, so that it is stopped as soon as it is told.
fn tick(path: &str) {
    loop {
        let file = std::fs::File::options().append(true).create(true).open(path);
        file.and_then(|mut file| file.write_all(b"\n")).expect("a tick");
        // played: work goes on at a pace.
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Runs a command in its own place at the terminal.
async fn terminal(how: TerminalAccess, command: &[String]) {
    let launch = Launch::new(&command[0]).args(&command[1..]).terminal(how);
    let mut running = launch.start().await.expect("it starts");
    tell(&format!("program saw {:?}", running.ended().await));
    running.finish(Duration::from_secs(1)).await;
}
