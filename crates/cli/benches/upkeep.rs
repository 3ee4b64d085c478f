//! What the upkeep of a large store takes: an export, an import into another store, and both verified; then pruning half of its tasks
//! while others work, in turns with and without.
//!
//! `cargo bench -p tenure-cli --bench upkeep -- --tasks 1000000 --rounds 5 --seconds 10 --into postgres://…`. Without `--into` the import
//! goes into a second file.
#![expect(clippy::disallowed_methods, reason = "a bench measures real time")]
// A bench prints, and stops where it is surprised.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, missing_docs)]

mod binary;
#[allow(dead_code)] // The benches of stores take more of it.
#[path = "../../tenure/benches/common/mod.rs"]
mod common;

use std::fs::File;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tenure::Ledger;
use tenure::clock::{Clock, ManualClock, SystemClock};
use tenure::core::time::Span;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use binary::{file_mib, resident_mib, tenure};
use common::fill::{finish_named, life_name};
use common::life::ttl;
use common::{median, millis_at, number_after, word_after};

/// Longer ago than what is pruned.
const LONG_AGO_DAYS: u64 = 100;
const PRUNE: [&str; 3] = ["prune", "--older-than", "30d"];
const CALLERS: usize = 4;
/// Each of them begins a life so often: together some 160 commands a second, each with a commit of its own or nearly so.
const LIFE_EVERY: Duration = Duration::from_millis(100);

fn main() {
    let tasks = number_after("--tasks", 1_000_000);
    let folder = word_after("--folder").unwrap_or_else(|| "/var/tmp".to_owned());
    let folder = tempfile::tempdir_in(folder).expect("a folder");
    let file = folder.path().join("tasks.db");
    let store = format!("sqlite:{}", file.display());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.expect("a runtime");
    runtime.block_on(fill(&store, tasks));
    println!("{tasks} tasks, half of them of {} days ago, {} MiB\n", LONG_AGO_DAYS, file_mib(&file));
    move_it(folder.path(), &store);
    runtime.block_on(prune_beside_work(&store));
}

/// Half of the tasks ended long ago.
async fn fill(store: &str, tasks: usize) {
    let past = ManualClock::at(SystemClock::default().read().wall - Span::from_days(LONG_AGO_DAYS));
    let ledger = Ledger::builder().clock(Arc::new(past)).open(store).await.expect("opens");
    finish_named(&ledger, tasks / 2, life_name).await;
    drop(ledger);
    let ledger = Ledger::open(store).await.expect("opens");
    finish_named(&ledger, tasks - tasks / 2, |at| format!("new-{}", life_name(at))).await;
}

/// Exports the store, imports that, and compares the heads of both.
fn move_it(folder: &Path, store: &str) {
    let into = word_after("--into").unwrap_or_else(|| format!("sqlite:{}", folder.join("copy.db").display()));
    let exported = folder.join("export.jsonl");
    println!("{:<34}{:>10}{:>12}", "", "seconds", "MiB at most");
    run("export", &["export", "--store", store, "-q"], &exported);
    println!("{:<34}{:>10}", "size of the export, MiB", file_mib(&exported));
    let imported = exported.to_str().expect("a name");
    run("import", &["import", "--store", &into, imported, "-q"], &folder.join("answer"));
    let heads = |store: &str, to: &str| {
        let to = folder.join(to);
        run(
            &format!("anchor of {}", store.split(':').next().unwrap_or_default()),
            &["audit", "anchor", "--store", store],
            &to,
        );
        let anchor = std::fs::read_to_string(to).expect("an anchor");
        let mut heads: Vec<String> = anchor.lines().skip(3).map(str::to_owned).collect();
        heads.sort_unstable();
        heads
    };
    let (here, there) = (heads(store, "here"), heads(&into, "there"));
    assert_eq!(here, there, "the heads of both stores");
    println!("heads compared: {}, all equal\n", here.len());
    std::fs::remove_file(exported).expect("removed");
}

/// Runs a command to its end, and prints how long it took and its memory.
fn run(name: &str, words: &[&str], to: &Path) {
    let began = Instant::now();
    let mut process = tenure(words).stdout(File::create(to).expect("a file")).spawn().expect("it starts");
    let most = until_it_ends(&mut process);
    println!("{name:<34}{:>10.1}{most:>12}", began.elapsed().as_secs_f64());
}

/// Waits for its end, and returns the most memory that it was seen with, in MiB.
fn until_it_ends(process: &mut Child) -> u64 {
    let mut most = 0;
    loop {
        most = resident_mib(process).map_or(most, |(_, at_most)| at_most.max(most));
        if let Some(status) = process.try_wait().expect("it is a child") {
            assert!(status.success(), "{status}");
            return most;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Those who work, in turns without and with a prune beside them; at the end the rest is pruned.
async fn prune_beside_work(store: &str) {
    let ledger = Ledger::open(store).await.expect("opens");
    let work = Arc::new(Work { ledger, next: AtomicUsize::new(0), taken: Mutex::default() });
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        callers.spawn(Arc::clone(&work).live_again_and_again(caller));
    }
    let (rounds, seconds) = (number_after("--rounds", 5), number_after("--seconds", 10));
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        alone.push(work.during(seconds).await);
        let mut prune = tenure(&[&PRUNE[..], &["--store", store, "-q"]].concat());
        let mut pruning = prune.stdout(Stdio::null()).spawn().expect("it starts");
        beside.push(work.during(seconds).await);
        // What it did is done: the next one goes on there.
        let is_over = pruning.try_wait().expect("it is a child").is_some();
        assert!(!is_over, "there was too little to prune for so many rounds");
        pruning.kill().and_then(|()| pruning.wait()).expect("it is a child");
    }
    println!("{:<34}{:>10}{:>10}{:>8}", "a command, ms", "alone", "pruning", "ratio");
    for (share, word) in [(0.5, "p50"), (0.95, "p95"), (0.99, "p99")] {
        let of = |parts: &[Vec<Duration>]| median(parts.iter().map(|part| millis_at(part, share)).collect());
        let (alone, beside) = (of(&alone), of(&beside));
        println!("{word:<34}{alone:>10.2}{beside:>10.2}{:>8.2}", beside / alone);
    }
    let began = Instant::now();
    let mut rest = tenure(&[&PRUNE[..], &["--store", store]].concat()).spawn().expect("it starts");
    let most = tokio::task::spawn_blocking(move || until_it_ends(&mut rest)).await.expect("it ended");
    println!("the rest was pruned in {:.1} s, in {most} MiB at most", began.elapsed().as_secs_f64());
    callers.shutdown().await;
    let words = ["audit", "verify", "--store", store];
    run("verified", &words, Path::new("/dev/null"));
}

/// Those who work.
struct Work {
    ledger: Ledger,
    next: AtomicUsize,
    taken: Mutex<Vec<Duration>>,
}

impl Work {
    fn take(&self) -> Vec<Duration> {
        std::mem::take(&mut *self.taken.lock().expect("not poisoned"))
    }

    /// How long each command takes in the next seconds. The first two are not counted.
    async fn during(&self, seconds: usize) -> Vec<Duration> {
        tokio::time::sleep(Duration::from_secs(2)).await;
        self.take();
        tokio::time::sleep(Duration::from_secs(seconds as u64)).await;
        self.take()
    }

    async fn timed<T>(&self, call: impl Future<Output = Result<T, tenure::Error>>) -> T {
        let began = Instant::now();
        let done = call.await.expect("done");
        self.taken.lock().expect("not poisoned").push(began.elapsed());
        done
    }

    /// Creates a task, claims it, renews its lease, and completes it, at fixed times.
    async fn live_again_and_again(self: Arc<Work>, caller: usize) {
        let queue = format!("busy-{caller}");
        let mut begins = tokio::time::interval(LIFE_EVERY);
        begins.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            begins.tick().await;
            let id = format!("busy-{}", self.next.fetch_add(1, Ordering::Relaxed));
            self.timed(self.ledger.create(&id).queue(&queue).into_future()).await;
            let claimed = self.timed(self.ledger.claim(&queue, "worker").into_future()).await.remove(0);
            let by = claimed.lease().expect("a lease").holder();
            self.timed(self.ledger.heartbeat(&id, &by).ttl(ttl(1)).into_future()).await;
            self.timed(self.ledger.complete(&id, &by).into_future()).await;
        }
    }
}
