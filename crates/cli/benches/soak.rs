//! Whether `tenure serve` stays as it is: lives of six commands at half of the rate that it can do, for an hour, beside leases that
//! are renewed all the time, on a file with a million tasks. Each minute it prints the latency, the memory of the
//! server and the sizes of its files.
//!
//! `cargo bench -p tenure-cli --bench soak -- --minutes 60 --tasks 1000000 --leased 50000 --folder /var/tmp`. Ctrl-C ends it.
#![expect(clippy::disallowed_methods, reason = "a bench measures real time")]
// A bench prints, and stops where it is surprised.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, missing_docs)]

mod binary;
#[allow(dead_code)] // The benches of stores take more of it.
#[path = "../../tenure/benches/common/mod.rs"]
mod common;

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tenure::Ledger;
use tenure::core::command::Holder;

use binary::{ServerProcess, file_mib};
use common::fill::{finish, lease, life_name};
use common::life::{Life, call, live, name, ttl};
use common::{median, number_after, run_callers, word_after};

const CALLERS: usize = 64;
/// How long the rate that the server can do is measured.
const TOP_RATE_FOR: Duration = Duration::from_secs(20);
/// Every lease is renewed once in this time, in batches.
const RENEWED_EVERY: Duration = Duration::from_secs(20);
const RENEWALS: usize = 500;
/// One line of figures.
const MINUTE: Duration = Duration::from_secs(60);

fn main() {
    let minutes = number_after("--minutes", 60);
    let (tasks, leased) = (number_after("--tasks", 1_000_000), number_after("--leased", 50_000));
    let folder = word_after("--folder").unwrap_or_else(|| "/var/tmp".to_owned());
    let folder = tempfile::tempdir_in(folder).expect("a folder");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    runtime.expect("a runtime").block_on(async {
        tokio::select! {
            () = soak(folder.path(), minutes, tasks, leased) => {}
            _ = tokio::signal::ctrl_c() => println!("interrupted"),
        }
    });
}

async fn soak(folder: &Path, minutes: usize, tasks: usize, leased: usize) {
    let file = folder.join("tasks.db");
    let server = ServerProcess::start(&format!("sqlite:{}", file.display()));
    let ledger = Ledger::open(&server.url).await.expect("opens");
    println!("resident: {} MiB with an empty store", server.resident_mib().0);
    finish(&ledger, tasks).await;
    let holders = lease(&ledger, leased).await;
    let (now, most) = server.resident_mib();
    println!(
        "resident: {now} MiB with {tasks} finished tasks and {leased} leases, {most} MiB at most while they were stored"
    );
    let load = Arc::new(Load { ledger, next: AtomicUsize::new(tasks), done: Mutex::new(Done::default()) });
    tokio::spawn(Arc::clone(&load).renew_all(holders));
    let top = Arc::clone(&load).top_rate().await;
    println!("{top:.0} lives a second from {CALLERS} callers, and half of that from now on\n");
    let every = Duration::from_secs_f64(2.0 * CALLERS as f64 / top);
    load.take();
    for number in 0..CALLERS {
        // Not all of them at once.
        let first = Instant::now() + every.mul_f64(number as f64 / CALLERS as f64);
        tokio::spawn(Arc::clone(&load).live_again_and_again(first, every));
    }
    let mut minutes_done = Vec::new();
    println!("{}", Minute::HEADING);
    for number in 1..=minutes {
        tokio::time::sleep(MINUTE).await;
        let minute = Minute {
            number,
            done: load.take(),
            resident_mib: server.resident_mib().0,
            log_mib: file_mib(&folder.join("tasks.db-wal")),
            file_mib: file_mib(&file),
        };
        println!("{}", minute.line());
        minutes_done.push(minute);
    }
    println!("\n{}\nresident at most: {} MiB", in_short(&minutes_done), server.resident_mib().1);
}

/// What callers share.
struct Load {
    ledger: Ledger,
    /// The number of the next life.
    next: AtomicUsize,
    done: Mutex<Done>,
}

/// What was done since it was last taken.
#[derive(Default)]
struct Done {
    /// From when a life was to begin until it had ended.
    latencies: Vec<Duration>,
    renewals: usize,
}

impl Load {
    fn take(&self) -> Done {
        let mut done = std::mem::take(&mut *self.done.lock().expect("not poisoned"));
        done.latencies.sort_unstable();
        done
    }

    async fn live(&self) {
        let id = life_name(self.next.fetch_add(1, Ordering::Relaxed));
        live(&self.ledger, &id, Life::FULL).await;
    }

    /// Lives a second, without a pause between them.
    async fn top_rate(self: Arc<Load>) -> f64 {
        run_callers(CALLERS, TOP_RATE_FOR, move |_, _| {
            let load = Arc::clone(&self);
            async move {
                load.live().await;
                1
            }
        })
        .await
    }

    /// Begins lives at fixed times. One that begins late, because the one before took long, counts from when it was to begin.
    async fn live_again_and_again(self: Arc<Load>, first: Instant, every: Duration) {
        let mut begins = first;
        loop {
            tokio::time::sleep_until(begins.into()).await;
            self.live().await;
            self.done.lock().expect("not poisoned").latencies.push(begins.elapsed());
            begins += every;
        }
    }

    async fn renew_all(self: Arc<Load>, holders: Vec<Holder>) {
        let mut interval =
            tokio::time::interval(RENEWED_EVERY.mul_f64(RENEWALS as f64 / holders.len().max(1) as f64));
        for round in 0.. {
            for (part, holders) in holders.chunks(RENEWALS).enumerate() {
                interval.tick().await;
                let renew = |(at, by)| self.ledger.heartbeat(&name(part * RENEWALS + at), by).ttl(ttl(round));
                let commands =
                    holders.iter().enumerate().map(|held| renew(held).command().expect("a command"));
                let renewed = call(&self.ledger, commands.collect(), &mut Vec::new()).await.len();
                self.done.lock().expect("not poisoned").renewals += renewed;
            }
            if holders.is_empty() {
                return;
            }
        }
    }
}

/// The figures of one minute.
struct Minute {
    number: usize,
    done: Done,
    resident_mib: u64,
    log_mib: u64,
    file_mib: u64,
}

impl Minute {
    const HEADING: &str = "minute   lives/s  renewals/s    p50 ms    p99 ms  p99.9 ms    max ms  resident MiB   WAL MiB  file MiB";

    /// Of lives, in milliseconds.
    fn latency(&self, share: f64) -> f64 {
        let latencies = &self.done.latencies;
        let at = ((latencies.len() as f64 * share) as usize).min(latencies.len().saturating_sub(1));
        latencies.get(at).map_or(f64::NAN, |latency| latency.as_secs_f64() * 1_000.0)
    }

    fn line(&self) -> String {
        let a_second = |count: usize| count as f64 / MINUTE.as_secs_f64();
        format!(
            "{:>6}{:>10.0}{:>12.0}{:>10.2}{:>10.2}{:>10.2}{:>10.2}{:>14}{:>10}{:>10}",
            self.number,
            a_second(self.done.latencies.len()),
            a_second(self.done.renewals),
            self.latency(0.5),
            self.latency(0.99),
            self.latency(0.999),
            self.latency(1.0),
            self.resident_mib,
            self.log_mib,
            self.file_mib
        )
    }
}

/// How the last sixth compares with the first: medians of their minutes.
fn in_short(minutes: &[Minute]) -> String {
    let part = minutes.len().div_ceil(6);
    let (first, last) = (&minutes[..part], &minutes[minutes.len() - part..]);
    let compared = |what: &str, figure: &dyn Fn(&Minute) -> f64| {
        let of = |minutes: &[Minute]| median(minutes.iter().map(figure).collect());
        let (first, last) = (of(first), of(last));
        format!("{what:<16}{first:>10.2}{last:>10.2}{:>8.2}", last / first)
    };
    [
        format!("{:<16}{:>10}{:>10}{:>8}", format!("{part} minutes of"), "first", "last", "ratio"),
        compared("p50 ms", &|minute| minute.latency(0.5)),
        compared("p99 ms", &|minute| minute.latency(0.99)),
        compared("p99.9 ms", &|minute| minute.latency(0.999)),
        compared("resident MiB", &|minute| minute.resident_mib as f64),
        compared("WAL MiB", &|minute| minute.log_mib as f64),
    ]
    .join("\n")
}
