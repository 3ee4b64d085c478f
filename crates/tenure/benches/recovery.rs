//! What recovery costs the living, and how late it is: many leases that lapse at once beside callers who claim and
//! heartbeat, an idle loop's lateness, and its processor time.
//!
//! The living are measured in one run twice: beside a loop that has nothing to do, and beside one that has everything to do.
//! `cargo bench -p tenure --bench recovery -- --lapsing 10000 --seconds 20`.
#![expect(clippy::disallowed_methods, reason = "a bench measures real time")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, missing_docs)] // A bench prints, and stops where it is surprised.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use tenure::Ledger;
use tenure::core::time::Span;
use tenure::handler::Handlers;
use tenure::recovery::{Recovery, RecoveryReport};
use tenure::stop::StopSignal;
use tenure::store::Filter;
use tokio::task::JoinHandle;

/// How many callers renew a lease over and over, and how many claim and complete.
const HEARTBEATERS: usize = 4;
const CLAIMERS: usize = 2;

fn main() {
    let number = |name: &str, usual: u64| {
        let word = std::env::args().skip_while(|word| word != name).nth(1);
        word.and_then(|word| word.parse().ok()).unwrap_or(usual)
    };
    let (lapsing, seconds) = (number("--lapsing", 10_000), number("--seconds", 20));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime");
    println!("{:<44}{:>10}{:>10}{:>10}{:>10}{:>10}", "", "count", "p50 ms", "p99 ms", "p99.9 ms", "max ms");
    for owes in [false, true] {
        runtime.block_on(storm(lapsing, owes));
    }
    runtime.block_on(lateness(100));
    runtime.block_on(idle(Duration::from_secs(seconds)));
}

struct Place {
    ledger: Ledger,
    _folder: tempfile::TempDir,
}

async fn place() -> Place {
    let folder = tempfile::tempdir().expect("a folder");
    let ledger = Ledger::open(&format!("sqlite:{}", folder.path().join("tasks.db").display())).await;
    Place { ledger: ledger.expect("opens"), _folder: folder }
}

struct Loop {
    stop: StopSignal,
    recovery: Recovery,
    running: JoinHandle<Result<RecoveryReport, tenure::Error>>,
}

fn recover(ledger: &Ledger) -> Loop {
    let handlers = Handlers::new().on("remove", |_| async { Ok("gone".to_owned()) }).expect("a kind");
    let recovery = Recovery::new(ledger.clone()).handlers(handlers);
    let stop = StopSignal::new();
    let (watching, told) = (recovery.clone(), stop.clone());
    let running = tokio::spawn(async move { watching.watch(told).await });
    Loop { stop, recovery, running }
}

impl Loop {
    async fn end(self) -> RecoveryReport {
        self.stop.stop();
        self.running.await.expect("it ends").expect("it looked after the store")
    }
}

/// Everything that this number of leases leaves when they lapse at once.
async fn storm(count: u64, owes: bool) {
    let Place { ledger, _folder } = place().await;
    let what = if owes { "each owes an undo" } else { "nothing is owed" };
    fill(&ledger, count, owes).await;
    let living = Living::begin(&ledger).await;
    let recovery = recover(&ledger);
    tokio::time::sleep(Duration::from_secs(1)).await;
    living.forget();
    tokio::time::sleep(Duration::from_secs(4)).await;
    let idle = living.take();
    let lapses_at = take(&ledger, count, Duration::from_secs(8)).await;
    let until = lapses_at.since(ledger.now().await.expect("the time"));
    tokio::time::sleep(Duration::from(until)).await;
    living.forget();
    let began = Instant::now();
    let snapshot = || recovery.recovery.metrics().snapshot();
    let done = |count: u64| snapshot().outcomes.iter().map(|(_, count)| *count).sum::<u64>() >= count;
    while !done(count) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let took = began.elapsed();
    let stormy = living.take();
    let sweeps = snapshot().sweeps;
    living.end().await;
    recovery.end().await;
    println!(
        "\n{count} leases lapse at once, {what}: all looked after in {took:.2?}, {sweeps} sweeps in all"
    );
    print("  a heartbeat, recovery idle", &idle.heartbeats);
    print("  a heartbeat, recovery busy", &stormy.heartbeats);
    print("  a claim, recovery idle", &idle.claims);
    print("  a claim, recovery busy", &stormy.claims);
    let ratio = |busy: &[Duration], idle: &[Duration], part| {
        quantile(busy, part).as_secs_f64() / quantile(idle, part).as_secs_f64()
    };
    println!(
        "  busy beside idle: heartbeats p50 {:.1}, p99 {:.1}; claims p50 {:.1}, p99 {:.1}",
        ratio(&stormy.heartbeats, &idle.heartbeats, 0.5),
        ratio(&stormy.heartbeats, &idle.heartbeats, 0.99),
        ratio(&stormy.claims, &idle.claims, 0.5),
        ratio(&stormy.claims, &idle.claims, 0.99),
    );
}

async fn fill(ledger: &Ledger, count: u64, owes: bool) {
    let mut commands = Vec::new();
    for nth in 0..count {
        let call = ledger.create(&format!("t{nth}")).queue("lapsing");
        let call = if owes { call.undo("remove", "x") } else { call };
        commands.push(call.command().expect("a command"));
    }
    done(ledger, commands).await;
}

/// Takes them all, so that their leases end together; when that is.
async fn take(ledger: &Ledger, count: u64, within: Duration) -> tenure::core::time::Time {
    let ends_at = ledger.now().await.expect("the time") + Span::from(within);
    for some in (0..count).collect::<Vec<_>>().chunks(500) {
        let left = ends_at.since(ledger.now().await.expect("the time"));
        let commands = some.iter().map(|nth| {
            let left = left.max(Span::from_secs(1));
            ledger.acquire(&format!("t{nth}"), "dead").ttl(left).command().expect("a command")
        });
        done(ledger, commands.collect()).await;
    }
    ends_at
}

async fn done(ledger: &Ledger, commands: Vec<tenure::core::command::Command>) {
    for some in commands.chunks(500) {
        for answer in ledger.transact(some.to_vec()).await {
            answer.expect("done");
        }
    }
}

#[derive(Default)]
struct Waited {
    heartbeats: Vec<Duration>,
    claims: Vec<Duration>,
}

/// Callers who go on whatever recovery does, and how long each of their commands took.
struct Living {
    waited: Arc<std::sync::Mutex<Waited>>,
    is_over: Arc<AtomicBool>,
    callers: Vec<JoinHandle<()>>,
}

impl Living {
    async fn begin(ledger: &Ledger) -> Living {
        let mut living = Living { waited: Arc::default(), is_over: Arc::default(), callers: Vec::new() };
        for nth in 0..HEARTBEATERS {
            let id = format!("living-{nth}");
            ledger.create(&id).await.expect("created");
            let task = ledger.acquire(&id, "living").ttl(Duration::from_secs(3_600)).await.expect("acquired");
            let holder = task.lease().expect("a lease").holder();
            let (ledger, waited, is_over) =
                (ledger.clone(), Arc::clone(&living.waited), Arc::clone(&living.is_over));
            living.callers.push(tokio::spawn(async move {
                while !is_over.load(Ordering::Relaxed) {
                    let began = Instant::now();
                    ledger.heartbeat(&id, &holder).await.expect("renewed");
                    waited.lock().expect("a list").heartbeats.push(began.elapsed());
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            }));
        }
        for nth in 0..CLAIMERS {
            let (ledger, waited, is_over) =
                (ledger.clone(), Arc::clone(&living.waited), Arc::clone(&living.is_over));
            living.callers.push(tokio::spawn(async move {
                let (queue, owner) = (format!("living-{nth}"), format!("claimer-{nth}"));
                while !is_over.load(Ordering::Relaxed) {
                    ledger.create_unnamed().queue(&queue).await.expect("created");
                    let began = Instant::now();
                    let tasks = ledger.claim(&queue, &owner).await.expect("claimed");
                    waited.lock().expect("a list").claims.push(began.elapsed());
                    for task in tasks {
                        let holder = task.lease().expect("a lease").holder();
                        ledger.complete(task.id.as_str(), &holder).await.expect("completed");
                    }
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            }));
        }
        living
    }

    fn forget(&self) {
        drop(self.take());
    }

    fn take(&self) -> Waited {
        std::mem::take(&mut *self.waited.lock().expect("a list"))
    }

    async fn end(self) {
        self.is_over.store(true, Ordering::Relaxed);
        for caller in self.callers {
            caller.await.expect("it ends");
        }
    }
}

fn quantile(waited: &[Duration], part: f64) -> Duration {
    let mut sorted = waited.to_vec();
    sorted.sort_unstable();
    let at = ((sorted.len() as f64 * part) as usize).min(sorted.len().saturating_sub(1));
    sorted.get(at).copied().unwrap_or_default()
}

fn print(name: &str, waited: &[Duration]) {
    let millis = |part| quantile(waited, part).as_secs_f64() * 1e3;
    println!(
        "{name:<44}{:>10}{:>10.2}{:>10.2}{:>10.2}{:>10.2}",
        waited.len(),
        millis(0.5),
        millis(0.99),
        millis(0.999),
        millis(1.0)
    );
}

/// From lapse to reclaim, on a store where nothing else happens.
async fn lateness(count: u64) {
    let Place { ledger, _folder } = place().await;
    let recovery = recover(&ledger);
    for nth in 0..count {
        let id = format!("t{nth}");
        ledger.create(&id).await.expect("created");
        // Lengths that share no step with the loop's.
        ledger.acquire(&id, "dead").ttl(Span::from_micros(1_000_000 + nth * 37_123)).await.expect("acquired");
    }
    let is_over = async || {
        let left = ledger.tasks(Filter::default(), None, count as usize).await.expect("a list").items;
        left.iter().all(|task| task.ending().is_some())
    };
    while !is_over().await {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let snapshot = recovery.recovery.metrics().snapshot();
    recovery.end().await;
    let mean = snapshot.lateness.sum() as f64 / count as f64 / 1e3;
    let most = snapshot.lateness_max_us as f64 / 1e3;
    println!("\nfrom lapse to reclaim, idle, {count} leases: mean {mean:.1} ms, longest {most:.1} ms");
}

/// The processor time of this process while a loop has nothing to do but to look, with leases that don't lapse.
async fn idle(length: Duration) {
    let Place { ledger, _folder } = place().await;
    fill(&ledger, 1_000, true).await;
    take(&ledger, 1_000, Duration::from_secs(3_600)).await;
    let recovery = recover(&ledger);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (began, sweeps) = (processor_time(), recovery.recovery.metrics().snapshot().sweeps);
    tokio::time::sleep(length).await;
    let used = processor_time() - began;
    let sweeps = recovery.recovery.metrics().snapshot().sweeps - sweeps;
    recovery.end().await;
    let share = used.as_secs_f64() / length.as_secs_f64();
    println!(
        "processor time of an idle loop: {:.0} ms a minute ({:.2} % of one core), {sweeps} looks in {length:?}",
        share * 60_000.0,
        share * 100.0
    );
}

fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(
        u64::try_from(time.tv_sec).expect("since the start"),
        u32::try_from(time.tv_nsec).expect("less"),
    )
}
