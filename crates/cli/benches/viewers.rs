//! What people who look at the console cost those who work, and what they wait for: `tenure serve` on a file with a million tasks and
//! 50,000 leases, claims and heartbeats at a fixed rate, in turns with twenty viewers and without.
//!
//! A viewer does what a browser does: it follows `/live`, and fetches its page again whenever something changed, and every five seconds.
//!
//! `cargo bench -p tenure-cli --bench viewers -- --tasks 1000000 --leased 50000 --viewers 20 --rounds 5 --seconds 10`.
#![expect(clippy::disallowed_methods, reason = "a bench measures real time")]
// A bench prints, and stops where it is surprised.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, missing_docs)]

mod binary;
#[allow(dead_code)] // The benches of stores take more of it.
#[path = "../../tenure/benches/common/mod.rs"]
mod common;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tenure::Ledger;
use tenure::core::command::Holder;
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use binary::ServerProcess;
use common::fill::{finish, lease};
use common::life::{call, name, ttl};
use common::{median, millis_at, number_after, word_after};

/// What viewers look at. A `{task}` is one that is leased.
const PAGES: [&str; 8] = [
    "/",
    "/",
    "/triage",
    "/tasks?open=true",
    "/tasks?state=running&order=oldest",
    "/queues",
    "/history",
    "/tasks/default/{task}",
];
/// What a browser does when it hears nothing.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Between two looks of a browser that hears something all the time.
const APART: Duration = Duration::from_millis(500);
const CALLERS: usize = 8;
/// Each of them begins a life so often: together some 800 commands a second.
const LIFE_EVERY: Duration = Duration::from_millis(50);
/// Every lease is renewed once in this time, in batches.
const RENEWED_EVERY: Duration = Duration::from_secs(20);
const RENEWALS: usize = 500;

fn main() {
    // The client names no provider of its own.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (tasks, leased) = (number_after("--tasks", 1_000_000), number_after("--leased", 50_000));
    let folder = word_after("--folder").unwrap_or_else(|| "/var/tmp".to_owned());
    let folder = tempfile::tempdir_in(folder).expect("a folder");
    let store = format!("sqlite:{}", folder.path().join("tasks.db").display());
    let runtime = || {
        let built = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        built.expect("a runtime")
    };
    let (work, viewers) = (runtime(), runtime());
    work.block_on(async {
        tokio::select! {
            () = compare(&store, (tasks, leased), viewers.handle()) => {}
            _ = tokio::signal::ctrl_c() => println!("interrupted"),
        }
    });
}

async fn compare(store: &str, (tasks, leased): (usize, usize), elsewhere: &Handle) {
    let server = ServerProcess::start(store);
    let ledger = Ledger::open(&server.url).await.expect("opens");
    finish(&ledger, tasks).await;
    let holders = lease(&ledger, leased).await;
    println!("{tasks} tasks and {leased} leases, {} MiB resident\n", server.resident_mib().0);
    let viewers = Arc::new(Viewers::of(&server.url, elsewhere));
    let idle = viewers.idle().await;

    let work = Arc::new(Work { ledger, next: AtomicUsize::new(0), taken: Mutex::default() });
    tokio::spawn(Arc::clone(&work).renew_all(holders));
    for caller in 0..CALLERS {
        tokio::spawn(Arc::clone(&work).claim_again_and_again(caller));
    }
    let (rounds, seconds) = (number_after("--rounds", 5), number_after("--seconds", 10));
    let length = Duration::from_secs(seconds as u64);
    let (mut alone, mut watched) = (Vec::new(), Vec::new());
    // The first seconds of each part are not counted: connections are made, and viewers come.
    let settle = Duration::from_secs(2);
    for _ in 0..rounds {
        tokio::time::sleep(settle).await;
        work.take();
        tokio::time::sleep(length).await;
        alone.push(work.take());
        let looking = viewers.start(number_after("--viewers", 20));
        tokio::time::sleep(settle).await;
        work.take();
        viewers.take();
        tokio::time::sleep(length).await;
        watched.push((work.take(), viewers.take()));
        drop(looking);
    }
    tell(&idle, &alone, &watched, length);
    println!("\nresident: {} MiB, at most {} MiB", server.resident_mib().0, server.resident_mib().1);
}

/// How long each thing took, by its name.
type Latencies = BTreeMap<&'static str, Vec<Duration>>;

/// What stands at that share of all of that name, in milliseconds.
fn at(latencies: &Latencies, name: &str, share: f64) -> f64 {
    latencies.get(name).map_or(f64::NAN, |all| millis_at(all, share))
}

fn tell(idle: &Latencies, alone: &[Latencies], watched: &[(Latencies, Latencies)], length: Duration) {
    println!("{:<34}{:>10}{:>10}{:>8}", "work, ms", "alone", "watched", "ratio");
    for command in ["claim", "heartbeat"] {
        for (share, word) in [(0.5, "p50"), (0.95, "p95"), (0.99, "p99")] {
            let of =
                |parts: Vec<&Latencies>| median(parts.iter().map(|part| at(part, command, share)).collect());
            let (alone, watched) =
                (of(alone.iter().collect()), of(watched.iter().map(|(work, _)| work).collect()));
            let name = format!("{command} {word}");
            println!("{name:<34}{alone:>10.2}{watched:>10.2}{:>8.2}", watched / alone);
        }
    }
    println!("\n{:<34}{:>10}{:>10}{:>8}{:>8}", "pages, p95 in ms", "idle", "busy", "ratio", "a second");
    for page in idle.keys() {
        let p95 = |latencies: &Latencies| at(latencies, page, 0.95);
        let busy = median(watched.iter().map(|(_, pages)| p95(pages)).collect());
        let looks: usize = watched.iter().map(|(_, pages)| pages.get(page).map_or(0, Vec::len)).sum();
        let a_second = looks as f64 / (length.as_secs_f64() * watched.len() as f64);
        println!("{page:<34}{:>10.2}{busy:>10.2}{:>8.2}{a_second:>8.1}", p95(idle), busy / p95(idle));
    }
}

/// Those who work.
struct Work {
    ledger: Ledger,
    next: AtomicUsize,
    taken: Mutex<Latencies>,
}

impl Work {
    fn take(&self) -> Latencies {
        std::mem::take(&mut *self.taken.lock().expect("not poisoned"))
    }

    fn took(&self, what: &'static str, began: Instant) {
        self.taken.lock().expect("not poisoned").entry(what).or_default().push(began.elapsed());
    }

    /// Creates a task, claims it, renews its lease twice, and completes it, at fixed times.
    async fn claim_again_and_again(self: Arc<Work>, caller: usize) {
        let queue = format!("busy-{caller}");
        let mut begins = tokio::time::interval(LIFE_EVERY);
        begins.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            begins.tick().await;
            let id = format!("busy-{}", self.next.fetch_add(1, Ordering::Relaxed));
            self.ledger.create(&id).queue(&queue).await.expect("created");
            let began = Instant::now();
            let claimed = self.ledger.claim(&queue, "worker").await.expect("claimed").remove(0);
            self.took("claim", began);
            let by = claimed.lease().expect("a lease").holder();
            for beat in 1..=2 {
                let began = Instant::now();
                self.ledger.heartbeat(&id, &by).ttl(ttl(beat)).await.expect("renewed");
                self.took("heartbeat", began);
            }
            self.ledger.complete(&id, &by).await.expect("completed");
        }
    }

    async fn renew_all(self: Arc<Work>, holders: Vec<Holder>) {
        let parts = holders.len().div_ceil(RENEWALS).max(1);
        let mut interval = tokio::time::interval(RENEWED_EVERY / u32::try_from(parts).expect("few"));
        for round in 0.. {
            for (part, holders) in holders.chunks(RENEWALS).enumerate() {
                interval.tick().await;
                let renew = |(at, by)| self.ledger.heartbeat(&name(part * RENEWALS + at), by).ttl(ttl(round));
                let commands =
                    holders.iter().enumerate().map(|held| renew(held).command().expect("a command"));
                call(&self.ledger, commands.collect(), &mut Vec::new()).await;
            }
            if holders.is_empty() {
                return;
            }
        }
    }
}

/// Those who look.
struct Viewers {
    url: String,
    /// Where they run: not in the thread that measures the commands, which would measure them, too.
    elsewhere: Handle,
    http: reqwest::Client,
    taken: Mutex<Latencies>,
}

impl Viewers {
    fn of(url: &str, elsewhere: &Handle) -> Viewers {
        let http = reqwest::Client::builder().build().expect("a client");
        Viewers { url: url.to_owned(), elsewhere: elsewhere.clone(), http, taken: Mutex::default() }
    }

    fn take(&self) -> Latencies {
        std::mem::take(&mut *self.taken.lock().expect("not poisoned"))
    }

    /// How long each page takes while nothing else happens.
    async fn idle(&self) -> Latencies {
        for _ in 0..40 {
            for page in PAGES {
                self.look(page).await;
            }
        }
        self.take()
    }

    async fn look(&self, page: &'static str) {
        let address = format!("{}{}", self.url, page.replace("{task}", &name(7)));
        let began = Instant::now();
        let answer = self.http.get(address).header("accept", "text/html").send().await.expect("an answer");
        assert_eq!(answer.status(), 200, "{page}");
        answer.bytes().await.expect("all of it");
        self.taken.lock().expect("not poisoned").entry(page).or_default().push(began.elapsed());
    }

    /// They look until the result is dropped.
    fn start(self: &Arc<Viewers>, count: usize) -> JoinSet<()> {
        let mut looking = JoinSet::new();
        for nth in 0..count {
            let page = PAGES[nth % PAGES.len()];
            looking.spawn_on(Arc::clone(self).watch(page), &self.elsewhere);
        }
        looking
    }

    /// As the script of the pages does: one look at a time, again when something changed meanwhile.
    async fn watch(self: Arc<Viewers>, page: &'static str) {
        let changed = Arc::new(AtomicBool::new(true));
        let heard = Arc::clone(&changed);
        let task = if page.contains("{task}") { format!("&task={}", name(7)) } else { String::new() };
        let live = self.http.get(format!("{}/live?ns=default{task}", self.url)).send();
        let mut live = live.await.expect("a stream");
        let listening = async move {
            while let Some(_event) = live.chunk().await.expect("a stream") {
                heard.store(true, Ordering::Relaxed);
            }
        };
        let looking = async {
            let mut looked = Instant::now();
            loop {
                if changed.swap(false, Ordering::Relaxed) || looked.elapsed() >= LOOK_EVERY {
                    self.look(page).await;
                    looked = Instant::now();
                }
                tokio::time::sleep(APART).await;
            }
        };
        tokio::select! {
            () = listening => {}
            () = looking => {}
        }
    }
}
