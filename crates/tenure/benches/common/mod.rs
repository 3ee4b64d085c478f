//! What the benches of stores share: what they are asked for, how rows of figures are printed, and the ledger's
//! side of each row, through its public API. What is measured beside it is each bench's own.

pub(crate) mod fill;
pub(crate) mod life;

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tenure::Ledger;
use tenure_core::command::Holder;

use fill::lease;
use life::{Life, live, live_together, name, ttl};

pub(crate) const CALLERS: [usize; 3] = [1, 64, 256];
pub(crate) const LEASED: usize = 10_000;
/// Heartbeats of one explicit batch.
pub(crate) const BATCH: usize = 1_000;
/// Commands of one explicit batch of lives.
pub(crate) const LIVES: usize = 256;
const CLAIMS: usize = 1_000;

/// What the command line asks for.
pub(crate) struct Asked {
    pub(crate) seconds: Duration,
    pub(crate) rounds: usize,
    /// Rows whose names contain this.
    pub(crate) only: String,
}

impl Asked {
    pub(crate) fn read() -> Asked {
        Asked {
            seconds: Duration::from_secs(number_after("--seconds", 2) as u64),
            rounds: number_after("--rounds", 3),
            only: word_after("--only").unwrap_or_default(),
        }
    }

    pub(crate) fn print_heading(&self) {
        let Asked { seconds, rounds, .. } = self;
        println!(
            "each figure for {seconds:?}, {rounds} rounds in turns, medians; commits are synced to the disk\n"
        );
        println!("{:<48}{:>12}{:>12}{:>8}", "", "ledger/s", "bare/s", "ratio");
    }

    pub(crate) fn wants(&self, name: &str) -> bool {
        name.contains(&self.only)
    }

    /// Both in turns; the ratio of each round, and the medians.
    pub(crate) fn row(&self, name: &str, ours: impl Fn() -> f64, bare: impl Fn() -> f64) {
        if !self.wants(name) {
            return;
        }
        let (mut our_figures, mut bare_figures, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..self.rounds {
            let (one, other) = (ours(), bare());
            our_figures.push(one);
            bare_figures.push(other);
            ratios.push(one / other);
        }
        let (ours, bare, ratio) = (median(our_figures), median(bare_figures), median(ratios));
        println!("{name:<48}{ours:>12.0}{bare:>12.0}{ratio:>8.2}");
    }
}

/// The word that follows another one on the command line.
pub(crate) fn word_after(name: &str) -> Option<String> {
    std::env::args().skip_while(|word| word != name).nth(1)
}

/// The number that follows a word on the command line.
pub(crate) fn number_after(name: &str, default: usize) -> usize {
    word_after(name).map_or(default, |word| word.parse().unwrap_or_else(|_| panic!("{name} needs a number")))
}

/// The middle one.
pub(crate) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// What stands at that share of all, in milliseconds.
#[allow(dead_code)] // Some benches look at counts alone.
pub(crate) fn millis_at(all: &[Duration], share: f64) -> f64 {
    let mut all = all.to_vec();
    all.sort_unstable();
    let at = ((all.len() as f64 * share) as usize).min(all.len().saturating_sub(1));
    all.get(at).map_or(f64::NAN, |latency| latency.as_secs_f64() * 1_000.0)
}

/// Somewhere new to keep a record, and what takes it away when it is dropped.
pub(crate) struct Place {
    pub(crate) url: String,
    pub(crate) keeps: Box<dyn Any>,
}

/// The ledger's side, each time in a place of its own.
pub(crate) struct Ours<'a> {
    pub(crate) seconds: Duration,
    /// How many explicit batches are under way at once.
    pub(crate) batches: usize,
    pub(crate) place: &'a dyn Fn() -> Place,
}

impl Ours<'_> {
    /// Runs something on a ledger in a new place, which is gone again afterwards.
    fn on_new<T, F: Future<Output = T>>(&self, run: impl FnOnce(Ledger) -> F) -> T {
        let Place { url, keeps } = (self.place)();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let done = runtime.expect("a runtime").block_on(async {
            let ledger = Ledger::open(&url).await.expect("opens");
            run(ledger).await
        });
        drop(keeps);
        done
    }

    pub(crate) fn lives(&self, callers: usize, life: Life) -> f64 {
        self.on_new(async |ledger| {
            // Names in order of time, as the ledger makes them and as the bare engine gets them.
            let next = Arc::new(AtomicU64::new(0));
            let work = move |_, _| {
                let (ledger, id) =
                    (ledger.clone(), format!("task-{:010}", next.fetch_add(1, Ordering::Relaxed)));
                async move {
                    live(&ledger, &id, life).await;
                    1
                }
            };
            run_callers(callers, self.seconds, work).await
        })
    }

    /// Lives side by side, a step of all of them in one call.
    pub(crate) fn batched_lives(&self, life: Life) -> f64 {
        self.on_new(async |ledger| {
            let work = move |caller, round| {
                let ledger = ledger.clone();
                async move {
                    let name = |at| format!("task-{caller}-{round:06}-{at:04}");
                    let names: Vec<String> = (0..LIVES).map(name).collect();
                    live_together(&ledger, &names, life, &mut Vec::new()).await
                }
            };
            run_callers(self.batches, self.seconds, work).await
        })
    }

    pub(crate) fn heartbeats(&self, callers: usize) -> f64 {
        self.on_new(async |ledger| {
            let holders: Arc<[Holder]> = lease(&ledger, LEASED).await.into();
            let work = move |caller, round: u64| {
                let (ledger, holders) = (ledger.clone(), Arc::clone(&holders));
                async move {
                    // Each caller has tasks of its own: nobody renews a lease that another one renews.
                    let at = caller + round as usize % (LEASED / callers) * callers;
                    let renewed = ledger.heartbeat(&name(at), &holders[at]).ttl(ttl(round)).await;
                    u64::from(renewed.is_ok() || renewed.is_err_and(|error| error.code().is_some()))
                }
            };
            run_callers(callers, self.seconds, work).await
        })
    }

    pub(crate) fn batched_heartbeats(&self) -> f64 {
        self.on_new(async |ledger| {
            let holders: Arc<[Holder]> = lease(&ledger, LEASED).await.into();
            let apart = LEASED / self.batches;
            let work = move |caller, round: u64| {
                let (ledger, holders) = (ledger.clone(), Arc::clone(&holders));
                async move {
                    let beats = (0..BATCH).map(|beat| {
                        let at = caller * apart + (round as usize * BATCH + beat) % apart;
                        ledger
                            .heartbeat(&name(at), &holders[at])
                            .ttl(ttl(round))
                            .command()
                            .expect("a command")
                    });
                    let answers = ledger.transact(beats.collect()).await;
                    answers.iter().filter(|answer| answer.is_ok()).count() as u64
                }
            };
            run_callers(self.batches, self.seconds, work).await
        })
    }

    /// What a claim takes on an idle store, from the call to the answer.
    pub(crate) fn claims(&self) {
        let mut micros: Vec<u128> = self.on_new(async |ledger| {
            let mut micros = Vec::new();
            for round in 0..CLAIMS {
                ledger.create(&name(round)).queue("q").await.expect("created");
                let begun = Instant::now();
                assert_eq!(ledger.claim("q", "w").await.expect("claimed").len(), 1);
                micros.push(begun.elapsed().as_micros());
            }
            micros
        });
        micros.sort_unstable();
        let (half, nearly_all) = (micros[CLAIMS / 2], micros[CLAIMS * 99 / 100]);
        println!("\nclaim on an idle store: p50 {half} us, p99 {nearly_all} us");
    }
}

/// Runs callers until the time is over, and counts what they did.
pub(crate) async fn run_callers<F: Future<Output = u64> + Send>(
    callers: usize,
    seconds: Duration,
    work: impl Fn(usize, u64) -> F + Send + Sync + 'static,
) -> f64 {
    let (over, count, work) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)), Arc::new(work));
    let begun = Instant::now();
    let tasks: Vec<_> = (0..callers)
        .map(|caller| {
            let (over, count, work) = (Arc::clone(&over), Arc::clone(&count), Arc::clone(&work));
            tokio::spawn(async move {
                for round in 0.. {
                    if over.load(Ordering::Relaxed) {
                        break;
                    }
                    count.fetch_add(work(caller, round).await, Ordering::Relaxed);
                }
            })
        })
        .collect();
    tokio::time::sleep(seconds).await;
    over.store(true, Ordering::Relaxed);
    for task in tasks {
        task.await.expect("a caller");
    }
    count.load(Ordering::Relaxed) as f64 / begun.elapsed().as_secs_f64()
}
