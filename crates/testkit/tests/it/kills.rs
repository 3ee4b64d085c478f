//! `kill -9` under load: everything that was answered is stored, and everything that is stored is complete.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::Rng;
use proptest::test_runner::{RngAlgorithm, TestRng};
use tenure::Ledger;
use tenure::core::task::State;
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
