//! What commands, lists and a start of the command line cost as the history grows: on stores with ten thousand, a million and
//! ten million finished tasks.
//!
//! All sizes are measured in turns, so the ratios hold on a noisy machine. `cargo bench -p tenure-cli --bench growth -- --sizes
//! 10000,1000000 --rounds 9`; with `--url URL` on PostgreSQL, in schemas that are dropped. Filling ten million takes up to half an hour
//! and 15 to 30 GB. `--keep NAME` keeps the stores, and finds them again: files NAME-SIZE.db in `--folder`, or schemas tenure_bench_NAME_SIZE. Ctrl-C
//! ends it, and removes what is not kept.
#![expect(clippy::disallowed_methods, reason = "a bench measures real time")]
// A bench prints, and stops where it is surprised.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, missing_docs)]

mod binary;
#[allow(dead_code)] // The benches of stores take more of it.
#[path = "../../tenure/benches/common/mod.rs"]
mod common;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tenure::Ledger;
use tenure::core::command::Holder;
use tenure::store::postgres::{PostgresOptions, PostgresStore};

use binary::tenure;
use common::fill::{finish, lease, life_name};
use common::life::{Life, call, live, live_together, name, ttl};
use common::{LIVES, median, number_after, word_after};

const CALLERS: usize = 64;
/// As many leases are renewed in one batch.
const LEASED: usize = 1_000;
const RENEWED_FOR: Duration = Duration::from_secs(1);
/// As many leases have lapsed. The first page of them is read.
const LAPSED: usize = 1_000;
const PAGE: usize = 100;
/// How often a page is read, and a process is started, in each round.
const READS: usize = 200;
const STARTS: usize = 20;

fn main() {
    let sizes = word_after("--sizes").unwrap_or_else(|| "10000,1000000,10000000".to_owned());
    let sizes: Vec<usize> =
        sizes.split(',').map(|size| size.parse().expect("--sizes needs numbers")).collect();
    let rounds = number_after("--rounds", 9);
    let temporary = tempfile::tempdir_in("/var/tmp").expect("a folder");
    let places = Places {
        folder: word_after("--folder").map_or_else(|| temporary.path().to_owned(), PathBuf::from),
        server: word_after("--url"),
        kept: word_after("--keep"),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let measure = async {
        tokio::select! {
            () = measure(&places, &sizes, rounds) => {}
            _ = tokio::signal::ctrl_c() => println!("interrupted"),
        }
    };
    let measured = catch_unwind(AssertUnwindSafe(|| runtime.block_on(measure)));
    for size in sizes.into_iter().filter(|_| places.kept.is_none()) {
        runtime.block_on(places.remove(size));
    }
    if let Err(surprise) = measured {
        resume_unwind(surprise);
    }
}

async fn measure(places: &Places, sizes: &[usize], rounds: usize) {
    // No store grows by more than its size.
    let lives = sizes.iter().min().expect("a size") / 2;
    let mut histories = Vec::new();
    for size in sizes {
        let began = Instant::now();
        histories.push(History::of(places, *size).await);
        println!("{size} tasks are stored, after {:.0?}", began.elapsed());
    }
    let mut figures = vec![vec![Vec::new(); sizes.len()]; ROWS.len()];
    for round in 0..rounds {
        for at in 0..histories.len() {
            // Another one begins each round.
            let at = (at + round) % histories.len();
            if histories[at].has_grown() {
                // Closed first: the last connection of a file removes its log by name, which would be that of the new file.
                drop(histories.remove(at));
                places.remove(sizes[at]).await;
                histories.insert(at, History::of(places, sizes[at]).await);
            }
            for (row, figure) in histories[at].figures(lives, round).await.into_iter().enumerate() {
                figures[row][at].push(figure);
            }
        }
    }
    print(sizes, figures);
}

/// What is measured, and whether more is better.
const ROWS: [(&str, bool); 8] = [
    ("lives of three/s, 64 callers", true),
    ("lives of three/s, batches of 256", true),
    ("heartbeats/s, batches of 1,000", true),
    ("first 100 stale, p50 ms", false),
    ("first 100 stale, p99 ms", false),
    ("`task show` in a new process, p50 ms", false),
    ("`task show` in a new process, longest ms", false),
    ("`tenure --version`, p50 ms", false),
];

/// Medians, and beside those of the larger stores how much dearer they are than on the smallest: the median of the rounds.
fn print(sizes: &[usize], figures: Vec<Vec<Vec<f64>>>) {
    print!("\n{:<42}", "stored tasks");
    for size in sizes {
        print!("{size:>14}{:>8}", "");
    }
    println!();
    for ((row, more_is_better), of_sizes) in ROWS.iter().zip(figures) {
        print!("{row:<42}");
        for of_size in &of_sizes {
            let ratio =
                |(large, small): (&f64, &f64)| if *more_is_better { small / large } else { large / small };
            let ratios = of_size.iter().zip(&of_sizes[0]).map(ratio).collect();
            print!("{:>14.2}{:>7.2}×", median(of_size.clone()), median(ratios));
        }
        println!();
    }
}

/// Where the stores are.
struct Places {
    folder: PathBuf,
    /// The URL of a PostgreSQL database.
    server: Option<String>,
    /// The name of stores that stay.
    kept: Option<String>,
}

impl Places {
    fn name(&self) -> String {
        self.kept.clone().unwrap_or_else(|| format!("growth_{}", std::process::id()))
    }

    fn url(&self, size: usize) -> String {
        let name = self.name();
        match &self.server {
            None => format!("sqlite:{}", self.folder.join(format!("{name}-{size}.db")).display()),
            Some(server) => {
                let sign = if server.contains('?') { '&' } else { '?' };
                format!("{server}{sign}schema={}{name}_{size}", PostgresStore::TRIAL_SCHEMA)
            }
        }
    }

    async fn remove(&self, size: usize) {
        let name = self.name();
        match &self.server {
            None => {
                for suffix in ["", "-wal", "-shm", "-line", "-turn"] {
                    // Not all of them are there.
                    let _ = std::fs::remove_file(self.folder.join(format!("{name}-{size}.db{suffix}")));
                }
            }
            Some(_) => {
                let schema = PostgresOptions::new(self.url(size));
                PostgresStore::drop_trial(schema).await.expect("dropped");
            }
        }
    }
}

/// A store with a history.
struct History {
    url: String,
    ledger: Ledger,
    leased: Vec<Holder>,
    size: usize,
    /// Lives since it was filled.
    lives: usize,
    /// How much longer than usual the next renewal is: one that is no longer than the one before is refused.
    ttl_round: u64,
}

impl History {
    /// Fills a store, unless it is a kept one that is filled.
    async fn of(places: &Places, size: usize) -> History {
        let url = places.url(size);
        let ledger = Ledger::open(&url).await.expect("opens");
        let lapsing: Vec<String> = (0..LAPSED).map(|at| format!("lapsed-{at:04}")).collect();
        // They are stored last.
        let is_filled = ledger.stale(None, 1).await.expect("a page").items.len() == 1;
        let (mut leased, mut ttl_round) = (Vec::new(), 1);
        if is_filled {
            let now = ledger.now().await.expect("a time");
            for at in 0..LEASED {
                let task = ledger.task(&name(at)).await.expect("it is there");
                let lease = task.lease().expect("a lease");
                leased.push(lease.holder());
                let left = Duration::from(lease.expires_at.since(now));
                ttl_round = ttl_round.max(2 + left.saturating_sub(ttl(0)).as_secs());
            }
        } else {
            finish(&ledger, size).await;
            leased = lease(&ledger, LEASED).await;
            let create = |id: &String| ledger.create(id).command().expect("a command");
            call(&ledger, lapsing.iter().map(create).collect(), &mut Vec::new()).await;
            let take = |id: &String| ledger.acquire(id, "w").ttl(Duration::from_secs(1)).command();
            let take = lapsing.iter().map(|id| take(id).expect("a command"));
            call(&ledger, take.collect(), &mut Vec::new()).await;
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
        History { url, ledger, leased, size, lives: 0, ttl_round }
    }

    /// Whether it has half as many tasks more: then it is one of another size.
    fn has_grown(&self) -> bool {
        self.lives > self.size / 2
    }

    /// In the order of the rows.
    async fn figures(&mut self, lives: usize, round: usize) -> Vec<f64> {
        let mut figures = vec![self.lives(lives).await, self.batches(lives).await, self.heartbeats().await];
        let reads = self.stale().await;
        figures.extend([share(&reads, 0.5), share(&reads, 0.99)]);
        let shows = self.shows(round);
        figures.extend([share(&shows, 0.5), share(&shows, 1.0)]);
        let starts = (0..STARTS).map(|_| run(&["--version"])).collect();
        figures.push(share(&sorted(starts), 0.5));
        figures
    }

    /// Names that come behind all others, also those of earlier runs.
    fn new_names(&mut self, count: usize) -> Vec<String> {
        self.lives += count;
        let first =
            SystemTime::now().duration_since(UNIX_EPOCH).expect("a time after 1970").as_micros() as usize;
        (first..first + count).map(life_name).collect()
    }

    async fn lives(&mut self, count: usize) -> f64 {
        let names: Arc<[String]> = self.new_names(count).into();
        let next = Arc::new(AtomicUsize::new(0));
        let caller = |_| {
            let (ledger, names, next) = (self.ledger.clone(), Arc::clone(&names), Arc::clone(&next));
            tokio::spawn(async move {
                while let Some(id) = names.get(next.fetch_add(1, Ordering::Relaxed)) {
                    live(&ledger, id, Life::SHORT).await;
                }
            })
        };
        let began = Instant::now();
        let callers: Vec<_> = (0..CALLERS).map(caller).collect();
        for caller in callers {
            caller.await.expect("a caller");
        }
        count as f64 / began.elapsed().as_secs_f64()
    }

    async fn batches(&mut self, count: usize) -> f64 {
        let names = self.new_names(count);
        let (one, other) = names.split_at(count / 2);
        let live_in_parts = async |names: &[String]| {
            for part in names.chunks(LIVES) {
                live_together(&self.ledger, part, Life::SHORT, &mut Vec::new()).await;
            }
        };
        let began = Instant::now();
        tokio::join!(live_in_parts(one), live_in_parts(other));
        count as f64 / began.elapsed().as_secs_f64()
    }

    async fn heartbeats(&mut self) -> f64 {
        let (began, mut renewed) = (Instant::now(), 0);
        while began.elapsed() < RENEWED_FOR {
            let renew = |(at, by)| self.ledger.heartbeat(&name(at), by).ttl(ttl(self.ttl_round));
            let commands =
                self.leased.iter().enumerate().map(|held| renew(held).command().expect("a command"));
            renewed += call(&self.ledger, commands.collect(), &mut Vec::new()).await.len();
            self.ttl_round += 1;
        }
        renewed as f64 / began.elapsed().as_secs_f64()
    }

    async fn stale(&self) -> Vec<f64> {
        let mut reads = Vec::new();
        for _ in 0..READS {
            let began = Instant::now();
            let page = self.ledger.stale(None, PAGE).await.expect("a page");
            reads.push(in_ms(began));
            assert_eq!(page.items.len(), PAGE);
        }
        sorted(reads)
    }

    /// Tasks from all parts of the history, others in each round.
    fn shows(&self, round: usize) -> Vec<f64> {
        let shown = (0..STARTS).map(|at| life_name(self.size / STARTS * at + round * 7));
        sorted(shown.map(|id| run(&["task", "show", &id, "--store", &self.url])).collect())
    }
}

fn run(words: &[&str]) -> f64 {
    let began = Instant::now();
    let output = tenure(words).output().expect("it runs");
    let took = in_ms(began);
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    took
}

fn in_ms(began: Instant) -> f64 {
    began.elapsed().as_secs_f64() * 1_000.0
}

fn sorted(mut figures: Vec<f64>) -> Vec<f64> {
    figures.sort_by(f64::total_cmp);
    figures
}

fn share(sorted: &[f64], share: f64) -> f64 {
    sorted[((sorted.len() as f64 * share) as usize).min(sorted.len() - 1)]
}
