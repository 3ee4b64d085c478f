//! When several try for one lease, one wins. The others are told who holds it, and until when.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Barrier};

use tenure::core::refusal::Code;
use tenure::store::memory::MemoryStore;
use tenure::{Error, Ledger};
use tenure_testkit::block_on;
use tenure_testkit::server::{Server, required};

const ROUNDS: u64 = 100;
const THREADS: usize = 16;
const PROCESSES: usize = 8;

/// Sixteen threads, let go at once, a hundred times.
fn race_of_threads(ledger: &Ledger) {
    for round in 0..ROUNDS {
        let id = format!("race-{round}");
        block_on(async { ledger.create(&id).await }).expect("created");
        let barrier = Arc::new(Barrier::new(THREADS));
        let racers: Vec<_> = (0..THREADS)
            .map(|racer| {
                let (ledger, barrier, id) = (ledger.clone(), Arc::clone(&barrier), id.clone());
                std::thread::spawn(move || {
                    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                    let runtime = runtime.expect("a runtime");
                    barrier.wait();
                    runtime.block_on(async { ledger.acquire(&id, &format!("w{racer}")).await })
                })
            })
            .collect();
        let answers: Vec<_> = racers.into_iter().map(|racer| racer.join().expect("a racer")).collect();
        let winners: Vec<_> = answers.iter().filter_map(|answer| answer.as_ref().ok()).collect();
        assert_eq!(winners.len(), 1, "round {round}");
        let lease = winners[0].lease().expect("the winner's lease");
        for answer in &answers {
            if let Err(error) = answer {
                let refusal = error.refusal().expect("a refusal");
                assert_eq!(refusal.code, Code::Leased);
                let held = refusal.held_by.as_ref().expect("who holds it");
                assert_eq!(
                    (&held.owner, held.until, held.epoch),
                    (&lease.owner, lease.expires_at, Some(lease.epoch))
                );
            }
        }
    }
}

#[test]
fn of_sixteen_threads_one_wins_a_lease_in_memory() {
    race_of_threads(&Ledger::with_store(Arc::new(MemoryStore::default())));
}

#[test]
fn of_sixteen_threads_one_wins_a_lease_on_sqlite() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite:{}", folder.path().join("tasks.db").display());
    let ledger = block_on(Ledger::open(&url)).expect("opens");
    race_of_threads(&ledger);
    assert!(block_on(ledger.verify(None)).expect("verified").holds());
}

#[test]
fn of_sixteen_threads_one_wins_a_lease_on_postgresql() {
    let Some(server) = required(Server::shared()) else { return };
    let ledger = block_on(Ledger::open(&server.url(&server.fresh_schema()))).expect("opens");
    race_of_threads(&ledger);
    assert!(block_on(ledger.verify(None)).expect("verified").holds());
}

#[test]
fn of_eight_processes_one_wins_a_lease() {
    let folder = tempfile::tempdir().expect("a folder");
    race_of_processes(&format!("sqlite:{}", folder.path().join("tasks.db").display()));
}

#[test]
fn of_eight_processes_one_wins_a_lease_on_postgresql() {
    let Some(server) = required(Server::shared()) else { return };
    race_of_processes(&server.url(&server.fresh_schema()));
}

/// A process that tries for one lease a round.
struct Racer {
    process: Child,
    line: ChildStdin,
    told: BufReader<ChildStdout>,
}

impl Racer {
    fn start(url: &str, name: &str) -> Racer {
        let mut process = Command::new(env!("CARGO_BIN_EXE_tenure-child"))
            .args(["race", url, name])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a process");
        let line = process.stdin.take().expect("its input");
        let told = BufReader::new(process.stdout.take().expect("its output"));
        Racer { process, line, told }
    }

    fn lets_go(&mut self) {
        self.line.write_all(b"go\n").expect("written");
    }

    fn next_line(&mut self) -> String {
        let mut line = String::new();
        self.told.read_line(&mut line).expect("text");
        line.trim_end().to_owned()
    }

    fn ends(mut self) {
        drop(self.line);
        assert!(self.process.wait().expect("its end").success());
    }
}

fn race_of_processes(url: &str) {
    let ledger = block_on(Ledger::open(url)).expect("opens");
    block_on(async {
        for round in 0..ROUNDS {
            ledger.create(&format!("race-{round}")).await?;
        }
        Ok::<_, Error>(())
    })
    .expect("created");
    let mut racers: Vec<Racer> =
        (0..PROCESSES).map(|racer| Racer::start(url, &format!("p{racer}"))).collect();
    for racer in &mut racers {
        assert_eq!(racer.next_line(), "ready");
    }
    // All are let go at once, as soon as the last one has come to the line.
    let mut told = Vec::new();
    for _ in 0..ROUNDS {
        racers.iter_mut().for_each(Racer::lets_go);
        told.extend(racers.iter_mut().map(Racer::next_line));
    }
    for racer in racers {
        racer.ends();
    }
    for round in 0..ROUNDS {
        let of_round: Vec<Vec<&str>> = told
            .iter()
            .map(|line| line.split(' ').collect::<Vec<_>>())
            .filter(|words| words[0] == round.to_string())
            .collect();
        assert_eq!(of_round.len(), PROCESSES, "every process was answered in round {round}: {told:?}");
        let winners = of_round.iter().filter(|words| words[1] == "won").count();
        assert_eq!(winners, 1, "round {round}: {of_round:?}");
        let task = block_on(ledger.task(&format!("race-{round}"))).expect("the task");
        let lease = task.lease().expect("its lease");
        for words in of_round.iter().filter(|words| words[1] != "won") {
            let expected =
                ["lost".to_owned(), lease.owner.to_string(), lease.expires_at.as_micros().to_string()];
            assert_eq!(words[1..], expected, "round {round}");
        }
    }
}
