//! `kill -9` under load: everything that was answered is stored, and everything that is stored is complete. And of exports and imports:
//! the store is whole, and the command can be repeated.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::Rng;
use proptest::test_runner::{RngAlgorithm, TestRng};
use tenure::Ledger;
use tenure::clock::ManualClock;
use tenure::core::task::State;
use tenure::core::time::{Span, Time};
use tenure::retention::{PruneOptions, PruneRun};
use tenure::store::memory::MemoryStore;
use tenure_testkit::moving::{content, exported, imported};
use tenure_testkit::retained::{done, half_pruned};
use tenure_testkit::server::{Server, required};
use tenure_testkit::waiting::found;
use tenure_testkit::{block_on, seed};

/// The default; `TENURE_KILLS` changes it.
fn count(usual: u32) -> u32 {
    std::env::var("TENURE_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// So that each look at a whole store stays short.
const KILLS_OF_ONE_STORE: u32 = 20;

/// What a killed process was answered: by task the newest revision, and the latest expiry.
type Answered = HashMap<String, (u64, i64)>;

/// When a process under load is killed.
#[derive(Clone, Copy, Debug)]
enum Kill {
    /// So long after it was started. It may still be opening the store.
    After(Duration),
    /// When it has reported that number of answers.
    Answers(usize),
}

impl Kill {
    /// Of both kinds, as the seed has it: the second kind is in the middle of load, however slow the machine is.
    fn of(random: &mut TestRng) -> Kill {
        let number = random.next_u32();
        match number % 2 {
            0 => Kill::After(Duration::from_micros(u64::from(number / 2 % 120_000))),
            _ => Kill::Answers((number / 2 % 300) as usize),
        }
    }
}

fn load_until_killed(url: &str, name: &str, kill: Kill) -> Answered {
    let mut child = Command::new(env!("CARGO_BIN_EXE_tenure-child"))
        .args(["load", url, name, "8"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("a process");
    let out = child.stdout.take().expect("its output");
    let told = Arc::new(Mutex::new(Vec::<String>::new()));
    let hearing = Arc::clone(&told);
    let listener = std::thread::spawn(move || {
        let lines = BufReader::new(out).lines().map_while(Result::ok);
        lines.for_each(|line| hearing.lock().expect("whole").push(line));
    });
    let come = match kill {
        Kill::After(length) => {
            // played: a kill at a random moment; nothing is waited for.
            std::thread::sleep(length);
            Some(())
        }
        Kill::Answers(count) => found(|| (told.lock().expect("whole").len() >= count).then_some(())),
    };
    child.kill().expect("kill -9");
    child.wait().expect("its end");
    assert!(come.is_some(), "{kill:?}: it does not go on");
    listener.join().expect("what it told");
    let mut answered = Answered::new();
    for line in told.lock().expect("whole").iter() {
        let words: Vec<&str> = line.split(' ').collect();
        // The last line may be cut by the kill; it was answered, but nobody read it whole.
        let [task, revision, expires_at] = words[..] else { continue };
        let entry = answered.entry(task.to_owned()).or_insert((0, i64::MIN));
        entry.0 = entry.0.max(revision.parse().unwrap_or(0));
        entry.1 = entry.1.max(expires_at.parse().unwrap_or(i64::MIN));
    }
    answered
}

/// Kills a process under load, again and again, and looks each time whether all that it was answered is there.
fn kill_again_and_again(kills: u32, mut place: impl FnMut(u32) -> String) {
    let mut bytes = [7; 32];
    bytes[..8].copy_from_slice(&seed().to_be_bytes());
    let mut random = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let (mut told, mut tasks) = (0, 0);
    for kill in 0..kills {
        let url = place(kill);
        let by = Kill::of(&mut random);
        let answered = load_until_killed(&url, &format!("k{kill}"), by);
        told += answered.len();
        let ledger = block_on(Ledger::open(&url)).expect("it opens again");
        let report = block_on(ledger.verify(None)).expect("it can be read");
        assert!(report.holds(), "kill {kill}, {by:?}, seed {:x}: {:?}", seed(), report.findings);
        tasks = tasks.max(report.tasks);
        for (id, (revision, expires_at)) in &answered {
            let task = block_on(ledger.task(id)).expect("an answered task is there");
            assert!(task.revision.0 >= *revision, "kill {kill}: {id} was answered at {revision}: {task:?}");
            if task.state() == State::Running {
                let lease = task.lease().expect("a running task's lease");
                assert!(
                    lease.expires_at.as_micros() >= *expires_at,
                    "kill {kill}: a heartbeat of {id} is lost"
                );
            }
        }
    }
    assert!(told > 0, "nobody was answered anything before it was killed");
    println!("{kills} kills, {told} tasks answered, up to {tasks} in a store");
}

#[test]
fn what_was_answered_survives_kill_9_and_what_is_stored_is_whole() {
    let mut folder = tempfile::tempdir().expect("a folder");
    kill_again_and_again(count(100), |kill| {
        if kill % KILLS_OF_ONE_STORE == 0 {
            folder = tempfile::tempdir().expect("a folder");
        }
        format!("sqlite:{}", folder.path().join("tasks.db").display())
    });
}

#[test]
fn what_was_answered_survives_kill_9_on_postgresql_too() {
    let Some(server) = required(Server::shared()) else { return };
    let mut schema = String::new();
    kill_again_and_again(count(30), |kill| {
        if kill % KILLS_OF_ONE_STORE == 0 {
            schema = server.fresh_schema();
        }
        server.url(&schema)
    });
}

/// Fills a store for an export.
async fn fill(ledger: &Ledger, tasks: usize) {
    for number in 0..tasks {
        let id = format!("t{number:03}");
        ledger
            .create(&id)
            .undo("rm", "/tmp/x")
            .request_id(&format!("create-{number}"))
            .await
            .expect("created");
        let task = ledger.acquire(&id, "w1").await.expect("acquired");
        let by = task.lease().expect("a lease").holder();
        match number % 3 {
            0 => drop(
                ledger.heartbeat(&id, &by).checkpoint(serde_json::json!([number])).await.expect("renewed"),
            ),
            1 => drop(ledger.complete(&id, &by).await.expect("completed")),
            _ => drop(ledger.roll_back(&id, &by, "no").await.expect("rolled back")),
        }
    }
}

/// Makes a store that has pruned tasks behind many anchors, and followers. All of it is long ago by every clock.
async fn prune_much(url: &str) {
    let clock = ManualClock::at(Time::from_micros(1_577_836_800_000_000));
    let ledger = Ledger::builder().clock(Arc::new(clock.clone())).open(url).await.expect("opens");
    for number in 0..30 {
        done(&ledger, &format!("long-ago-{number}")).await.expect("done");
    }
    clock.advance(Duration::from_secs(100 * 24 * 3_600));
    let options = PruneOptions::older_than(Span::from_days(90)).with(|options| options.step_tasks = 1);
    let mut run = PruneRun::begin(&ledger, options).await.expect("begun");
    while run.step(None).await.expect("a step").is_some() {}
    assert_eq!(run.report().pruned.sum(), 30);
    half_pruned(&ledger, &clock).await.expect("pruned");
}

/// Starts a process that prints lines, kills it at some moment, and gives what it has printed.
fn print_until_killed(words: &[&str], kill: Kill) -> Vec<u8> {
    let mut child = Command::new(env!("CARGO_BIN_EXE_tenure-child"))
        .args(words)
        .stdout(Stdio::piped())
        .spawn()
        .expect("a process");
    let mut out = BufReader::new(child.stdout.take().expect("its output"));
    let mut printed = Vec::new();
    match kill {
        // played: a kill at a random moment; nothing is waited for.
        Kill::After(length) => std::thread::sleep(length),
        Kill::Answers(lines) => {
            for _ in 0..lines {
                if out.read_until(b'\n', &mut printed).expect("its output") == 0 {
                    break;
                }
            }
        }
    }
    child.kill().expect("kill -9");
    child.wait().expect("its end");
    out.read_to_end(&mut printed).expect("the rest");
    printed
}

/// Exports and imports, each killed at random moments. Every time the new store is whole; in the end it is the old one.
fn export_and_import_in_spite_of_kills(from: &str, to: &str, seed_byte: u8) {
    let mut bytes = [seed_byte; 32];
    bytes[..8].copy_from_slice(&seed().to_be_bytes());
    let mut random = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    block_on(prune_much(from));
    let old = block_on(Ledger::open(from)).expect("opens");
    block_on(fill(&old, 150));
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("tasks.jsonl");
    let file = block_on(exported(old.store().as_ref()));
    std::fs::write(&path, &file).expect("written");
    let new = block_on(Ledger::open(to)).expect("opens");
    let mut steps = Vec::new();
    for kill in 0..count(20) {
        let by = match Kill::of(&mut random) {
            // About as many transactions as an import has.
            Kill::Answers(lines) => Kill::Answers(lines % 60),
            after => after,
        };
        let words = ["import", to, path.to_str().expect("a path")];
        let told = print_until_killed(&words, by);
        steps.push(told.iter().filter(|byte| **byte == b'\n').count());
        let report = block_on(new.verify(None)).expect("it can be read");
        assert!(report.holds(), "kill {kill}, {by:?}, seed {:x}: {:?}", seed(), report.findings);
        let cut = print_until_killed(&["export", from], by);
        let (_, refused) = block_on(imported(&MemoryStore::default(), &cut));
        let is_whole = cut.last() == Some(&b'\n') && cut.len() >= file.len();
        assert_eq!(refused.is_empty(), is_whole, "kill {kill}: a cut file says so: {refused:?}");
        let report = block_on(old.verify(None)).expect("it can be read");
        assert!(report.holds(), "kill {kill}: the old store is as it was: {:?}", report.findings);
    }
    let (_, refused) = block_on(imported(new.store().as_ref(), &file));
    assert_eq!(refused, []);
    assert!(block_on(new.verify(None)).expect("verified").holds());
    let of = |ledger: &Ledger| content(&block_on(exported(ledger.store().as_ref())));
    assert_eq!(of(&new), of(&old), "it is the same store");
    println!("{} kills, after {steps:?} transactions", steps.len());
}

#[test]
fn an_import_that_is_killed_leaves_a_whole_file_and_can_be_repeated() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = |name: &str| format!("sqlite:{}", folder.path().join(name).display());
    export_and_import_in_spite_of_kills(&url("old.db"), &url("new.db"), 8);
}

#[test]
fn an_import_that_is_killed_leaves_a_whole_database_and_can_be_repeated() {
    let Some(server) = required(Server::shared()) else { return };
    let (old, new) = (server.fresh_schema(), server.fresh_schema());
    export_and_import_in_spite_of_kills(&server.url(&old), &server.url(&new), 9);
}
