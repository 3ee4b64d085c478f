//! What commands, lists and a start of the command line cost as the history grows: on stores with ten thousand, a million and
//! ten million finished tasks.
//!
//! All sizes are measured in turns, so the ratios hold on a noisy machine. `cargo bench -p tenure-cli --bench growth -- --sizes
//! 10000,1000000 --rounds 5 --seconds 2`; with `--url URL` on PostgreSQL, in schemas that are dropped. Filling ten million takes
//! most of an hour and 15 GB. Ctrl-C ends it and removes everything.
#![expect(clippy::disallowed_methods, reason = "a bench measures real time")]
// A bench prints, and stops where it is surprised.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, missing_docs)]

mod binary;
#[allow(dead_code)] // The benches of stores take more of it.
#[path = "../../tenure/benches/common/mod.rs"]
mod common;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tenure::Ledger;
use tenure::core::command::Holder;
use tokio_postgres::NoTls;

use binary::tenure;
use common::fill::{finish, lease, life_name};
use common::life::{Life, call, live, live_together, name, ttl};
use common::{LIVES, median, number_after, run_callers, word_after};

const CALLERS: usize = 64;
/// As many leases are renewed in one batch.
const LEASED: usize = 1_000;
/// So many leases have lapsed. The first page of them is read.
const LAPSED: usize = 1_000;
const PAGE: usize = 100;
/// How often a page is read, and a process is started, in each round.
const READS: usize = 200;
const STARTS: usize = 20;

fn main() {
    let sizes = word_after("--sizes").unwrap_or_else(|| "10000,1000000,10000000".to_owned());
    let sizes: Vec<usize> =
        sizes.split(',').map(|size| size.parse().expect("--sizes needs numbers")).collect();
    let (rounds, seconds) = (number_after("--rounds", 5), number_after("--seconds", 2));
    let folder = word_after("--folder").unwrap_or_else(|| "/var/tmp".to_owned());
    let folder = tempfile::tempdir_in(folder).expect("a folder");
    let places = Places { folder: folder.path(), server: word_after("--url") };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    runtime.expect("a runtime").block_on(async {
        tokio::select! {
            () = measure(&places, &sizes, rounds, Duration::from_secs(seconds as u64)) => {}
            _ = tokio::signal::ctrl_c() => println!("interrupted"),
        }
        for size in sizes {
            places.drop_schema(size).await;
        }
    });
}

async fn measure(places: &Places<'_>, sizes: &[usize], rounds: usize, seconds: Duration) {
    let mut histories = Vec::new();
    for size in sizes {
        let began = Instant::now();
        histories.push(History::fill(&places.url(*size), *size).await);
        println!("{size} tasks are stored, after {:.0?}", began.elapsed());
    }
    let mut figures = vec![vec![Vec::new(); sizes.len()]; ROWS.len()];
    for round in 0..rounds {
        for at in 0..histories.len() {
            // Another one begins each round.
            let at = (at + round) % histories.len();
            for (row, figure) in histories[at].figures(seconds).await.into_iter().enumerate() {
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
struct Places<'a> {
    folder: &'a Path,
    /// The URL of a PostgreSQL database.
    server: Option<String>,
}

impl Places<'_> {
    fn url(&self, size: usize) -> String {
        match &self.server {
            None => format!("sqlite:{}", self.folder.join(format!("{size}.db")).display()),
            Some(server) => {
                let sign = if server.contains('?') { '&' } else { '?' };
                format!("{server}{sign}schema={}", Places::schema(size))
            }
        }
    }

    fn schema(size: usize) -> String {
        format!("tenure_growth_{}_{size}", std::process::id())
    }

    async fn drop_schema(&self, size: usize) {
        let Some(server) = &self.server else { return };
        let (client, connection) = tokio_postgres::connect(server, NoTls).await.expect("a connection");
        tokio::spawn(connection);
        let schema = Places::schema(size);
        let drop = format!("set client_min_messages = warning; drop schema if exists {schema} cascade");
        client.batch_execute(&drop).await.expect("dropped");
    }
}

/// A store with a history.
struct History {
    url: String,
    ledger: Ledger,
    leased: Arc<[Holder]>,
    size: usize,
    /// The number of the next life.
    next: Arc<AtomicUsize>,
    round: u64,
}

impl History {
    async fn fill(url: &str, size: usize) -> History {
        let ledger = Ledger::open(url).await.expect("opens");
        finish(&ledger, size).await;
        let leased = lease(&ledger, LEASED).await.into();
        let lapsing: Vec<String> = (0..LAPSED).map(|at| format!("lapsed-{at:04}")).collect();
        let create = |id: &String| ledger.create(id).command().expect("a command");
        call(&ledger, lapsing.iter().map(create).collect(), &mut Vec::new()).await;
        let take =
            |id: &String| ledger.acquire(id, "w").ttl(Duration::from_secs(1)).command().expect("a command");
        call(&ledger, lapsing.iter().map(take).collect(), &mut Vec::new()).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let next = Arc::new(AtomicUsize::new(size));
        History { url: url.to_owned(), ledger, leased, size, next, round: 0 }
    }

    /// In the order of the rows.
    async fn figures(&mut self, seconds: Duration) -> Vec<f64> {
        self.round += 1;
        let mut figures =
            vec![self.lives(seconds).await, self.batches(seconds).await, self.heartbeats(seconds).await];
        let reads = self.stale().await;
        figures.extend([share(&reads, 0.5), share(&reads, 0.99)]);
        let shows = self.shows();
        figures.extend([share(&shows, 0.5), share(&shows, 1.0)]);
        let starts = (0..STARTS).map(|_| run(&["--version"])).collect();
        figures.push(share(&sorted(starts), 0.5));
        figures
    }

    async fn lives(&self, seconds: Duration) -> f64 {
        let (ledger, next) = (self.ledger.clone(), Arc::clone(&self.next));
        run_callers(CALLERS, seconds, move |_, _| {
            let (ledger, id) = (ledger.clone(), life_name(next.fetch_add(1, Ordering::Relaxed)));
            async move {
                live(&ledger, &id, Life::SHORT).await;
                1
            }
        })
        .await
    }

    async fn batches(&self, seconds: Duration) -> f64 {
        let (ledger, next) = (self.ledger.clone(), Arc::clone(&self.next));
        run_callers(2, seconds, move |_, _| {
            let (ledger, first) = (ledger.clone(), next.fetch_add(LIVES, Ordering::Relaxed));
            async move {
                let names: Vec<String> = (first..first + LIVES).map(life_name).collect();
                live_together(&ledger, &names, Life::SHORT, &mut Vec::new()).await
            }
        })
        .await
    }

    async fn heartbeats(&self, seconds: Duration) -> f64 {
        let (ledger, leased, first) = (self.ledger.clone(), Arc::clone(&self.leased), self.round * 10_000);
        run_callers(1, seconds, move |_, round| {
            let (ledger, leased) = (ledger.clone(), Arc::clone(&leased));
            async move {
                let renew = |(at, by)| ledger.heartbeat(&name(at), by).ttl(ttl(first + round));
                let commands =
                    leased.iter().enumerate().map(|held| renew(held).command().expect("a command"));
                call(&ledger, commands.collect(), &mut Vec::new()).await.len() as u64
            }
        })
        .await
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

    /// Tasks from all parts of the history.
    fn shows(&self) -> Vec<f64> {
        let shown = (0..STARTS).map(|at| life_name(self.size / STARTS * at));
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
