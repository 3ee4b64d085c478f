//! What the ledger costs above the bare engine: full lives and heartbeats from 1, 64 and 256 callers at once, beside
//! SQLite doing the same row writes on the same tables by hand, with as many commands to a commit.
//!
//! Both run in turns in one process on one disk, so the ratios hold on a noisy machine; the absolute figures are for
//! orientation. `cargo bench -p tenure --bench store -- --seconds 3 --rounds 3`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, missing_docs)] // A bench prints, and stops where it is surprised.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rusqlite::{Connection, params};
use tenure::Ledger;
use tenure_core::chain::{Canonical, Hash};
use tenure_core::command::Holder;

const CALLERS: [usize; 3] = [1, 64, 256];
const LEASED: usize = 10_000;
/// Heartbeats of one explicit batch.
const BATCH: usize = 1_000;
/// Create, acquire, three heartbeats, complete.
const COMMANDS_OF_A_LIFE: f64 = 6.0;

fn main() {
    let number = |name: &str, default: u64| {
        let mut words = std::env::args().skip_while(|word| word != name).skip(1);
        words.next().and_then(|word| word.parse().ok()).unwrap_or(default)
    };
    let (seconds, rounds) = (Duration::from_secs(number("--seconds", 2)), number("--rounds", 3) as usize);
    let only = std::env::args().skip_while(|word| word != "--only").nth(1).unwrap_or_default();
    println!(
        "each figure for {seconds:?}, {rounds} rounds in turns, medians; commits are synced to the disk\n"
    );
    println!("{:<44}{:>12}{:>12}{:>8}", "", "ledger/s", "bare/s", "ratio");
    let row = |name: &str, ours: &dyn Fn() -> f64, bare: &dyn Fn() -> f64| {
        if name.contains(&only) {
            row(name, rounds, ours, bare);
        }
    };
    for callers in CALLERS {
        let name = format!("lives, {callers} callers, single calls");
        row(&name, &|| lives(callers, seconds), &|| bare_lives(callers, seconds));
    }
    row("lives, explicit batches of 256 commands", &|| batched_lives(256, seconds), &|| {
        bare_lives(256, seconds)
    });
    for callers in CALLERS {
        let name = format!("heartbeats, {LEASED} leased, {callers} callers");
        row(&name, &|| heartbeats(callers, seconds), &|| bare_heartbeats(callers, seconds));
    }
    let name = format!("heartbeats, explicit batches of {BATCH}");
    row(&name, &|| batched_heartbeats(seconds), &|| bare_heartbeats(BATCH, seconds));
    claims();
}

/// Both in turns; the ratio of each round, and the medians.
fn row(name: &str, rounds: usize, ours: &dyn Fn() -> f64, bare: &dyn Fn() -> f64) {
    let (mut our_figures, mut bare_figures, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        let (one, other) = (ours(), bare());
        our_figures.push(one);
        bare_figures.push(other);
        ratios.push(one / other);
    }
    let median = |mut figures: Vec<f64>| {
        figures.sort_by(f64::total_cmp);
        figures[figures.len() / 2]
    };
    println!("{name:<44}{:>12.0}{:>12.0}{:>8.2}", median(our_figures), median(bare_figures), median(ratios));
}

// ---- the ledger ------------------------------------------------------------------------------------------------

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime")
}

async fn open(folder: &Path) -> Ledger {
    Ledger::open(&format!("sqlite:{}", folder.join("tasks.db").display())).await.expect("opens")
}

/// Runs callers until the time is over, and counts what they did.
async fn run_callers<F: Future<Output = u64> + Send + 'static>(
    callers: usize,
    seconds: Duration,
    work: impl Fn(usize, u64) -> F + Send + Sync + Copy + 'static,
) -> f64 {
    let (over, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let begun = Instant::now();
    let tasks: Vec<_> = (0..callers)
        .map(|caller| {
            let (over, count) = (Arc::clone(&over), Arc::clone(&count));
            tokio::spawn(async move {
                for turn in 0.. {
                    if over.load(Ordering::Relaxed) {
                        break;
                    }
                    count.fetch_add(work(caller, turn).await, Ordering::Relaxed);
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

fn lives(callers: usize, seconds: Duration) -> f64 {
    let folder = tempfile::tempdir().expect("a folder");
    runtime().block_on(async {
        let ledger: &'static Ledger = Box::leak(Box::new(open(folder.path()).await));
        // Names in order of time, as the ledger makes them and as the bare engine gets them.
        let next: &'static AtomicU64 = Box::leak(Box::default());
        run_callers(callers, seconds, move |_, _| async move {
            let id = format!("task-{:010}", next.fetch_add(1, Ordering::Relaxed));
            ledger.create(&id).queue("q").payload(r#"{"n":1}"#).await.expect("created");
            let task = ledger.acquire(&id, "host/123/worker-17").await.expect("acquired");
            let by = task.lease().expect("a lease").holder();
            for beat in 1..=3 {
                let ttl = Duration::from_secs(60 + beat);
                ledger.heartbeat(&id, &by).ttl(ttl).await.expect("renewed");
            }
            ledger.complete(&id, &by).result(r#"{"ok":true}"#).await.expect("completed");
            1
        })
        .await
    })
}

/// Lives side by side, a step of all of them in one call.
fn batched_lives(batch: usize, seconds: Duration) -> f64 {
    let folder = tempfile::tempdir().expect("a folder");
    runtime().block_on(async {
        let ledger: &'static Ledger = Box::leak(Box::new(open(folder.path()).await));
        run_callers(2, seconds, move |caller, turn| async move {
            let names: Vec<String> =
                (0..batch).map(|at| format!("task-{caller}-{turn:06}-{at:04}")).collect();
            let create = |id: &String| {
                ledger.create(id).queue("q").payload(r#"{"n":1}"#).command().expect("a command")
            };
            ledger.transact(names.iter().map(create).collect()).await;
            let acquire =
                |id: &String| ledger.acquire(id, "host/123/worker-17").command().expect("a command");
            let leased = ledger.transact(names.iter().map(acquire).collect()).await;
            let holders: Vec<Holder> = leased.into_iter().map(holder_in).collect();
            for beat in 1..=3 {
                let ttl = Duration::from_secs(60 + beat);
                let beat = |(id, by): (&String, &Holder)| {
                    ledger.heartbeat(id, by).ttl(ttl).command().expect("a command")
                };
                ledger.transact(names.iter().zip(&holders).map(beat).collect()).await;
            }
            let complete = |(id, by): (&String, &Holder)| {
                ledger.complete(id, by).result(r#"{"ok":true}"#).command().expect("a command")
            };
            let done = ledger.transact(names.iter().zip(&holders).map(complete).collect()).await;
            done.iter().filter(|answer| answer.is_ok()).count() as u64
        })
        .await
    })
}

fn holder_in(answer: Result<tenure::store::Answer, tenure::Error>) -> Holder {
    let tenure::store::Answer::Task(task) = answer.expect("acquired") else { panic!("not a task") };
    task.lease().expect("a lease").holder()
}

async fn lease_all(ledger: &Ledger) -> Vec<Holder> {
    let mut holders = Vec::new();
    for from in (0..LEASED).step_by(500) {
        let ids = from..(from + 500).min(LEASED);
        let create =
            ids.clone().map(|at| ledger.create(&format!("task-{at:08}")).command().expect("a command"));
        ledger.transact(create.collect()).await;
        let acquire = ids.map(|at| {
            ledger.acquire(&format!("task-{at:08}"), "host/123/worker-17").command().expect("a command")
        });
        holders.extend(ledger.transact(acquire.collect()).await.into_iter().map(holder_in));
    }
    holders
}

fn heartbeats(callers: usize, seconds: Duration) -> f64 {
    let folder = tempfile::tempdir().expect("a folder");
    runtime().block_on(async {
        let ledger: &'static Ledger = Box::leak(Box::new(open(folder.path()).await));
        let holders: &'static [Holder] = Box::leak(lease_all(ledger).await.into_boxed_slice());
        run_callers(callers, seconds, move |caller, turn| async move {
            let at = (caller + turn as usize * callers) % LEASED;
            let ttl = Duration::from_secs(60 + turn % 80_000);
            let renewed = ledger.heartbeat(&format!("task-{at:08}"), &holders[at]).ttl(ttl).await;
            u64::from(renewed.is_ok() || renewed.is_err_and(|error| error.code().is_some()))
        })
        .await
    })
}

fn batched_heartbeats(seconds: Duration) -> f64 {
    let folder = tempfile::tempdir().expect("a folder");
    runtime().block_on(async {
        let ledger: &'static Ledger = Box::leak(Box::new(open(folder.path()).await));
        let holders: &'static [Holder] = Box::leak(lease_all(ledger).await.into_boxed_slice());
        run_callers(2, seconds, move |caller, turn| async move {
            let beats = (0..BATCH).map(|beat| {
                let at = (caller * LEASED / 2 + turn as usize * BATCH + beat) % LEASED;
                let ttl = Duration::from_secs(60 + turn % 80_000);
                ledger
                    .heartbeat(&format!("task-{at:08}"), &holders[at])
                    .ttl(ttl)
                    .command()
                    .expect("a command")
            });
            let answers = ledger.transact(beats.collect()).await;
            answers.iter().filter(|answer| answer.is_ok()).count() as u64
        })
        .await
    })
}

/// What a claim takes on an idle store, from the call to the answer.
fn claims() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut micros: Vec<u128> = runtime().block_on(async {
        let ledger = open(folder.path()).await;
        let mut micros = Vec::new();
        for turn in 0..1_000 {
            ledger.create(&format!("task-{turn:08}")).queue("q").await.expect("created");
            let begun = Instant::now();
            assert_eq!(ledger.claim("q", "w").await.expect("claimed").len(), 1);
            micros.push(begun.elapsed().as_micros());
        }
        micros
    });
    micros.sort_unstable();
    println!("\nclaim on an idle store: p50 {} us, p99 {} us", micros[500], micros[990]);
}

// ---- the bare engine -------------------------------------------------------------------------------------------

fn bare(folder: &Path) -> Connection {
    let connection = Connection::open(folder.join("bare.db")).expect("opens");
    connection.set_prepared_statement_cache_capacity(64);
    let pragmas = "pragma journal_mode = wal; pragma synchronous = full; pragma wal_autocheckpoint = 4000; \
                   pragma cache_size = -65536;";
    connection.execute_batch(pragmas).expect("set");
    connection.execute_batch(include_str!("../migrations/sqlite/V1__ledger.sql")).expect("the same tables");
    connection
}

struct Bare {
    connection: Connection,
    tasks: i64,
    events: i64,
}

impl Bare {
    fn sql(&self, sql: &str, params: impl rusqlite::Params) -> usize {
        self.connection.prepare_cached(sql).expect("prepared").execute(params).expect("executed")
    }

    fn event(&mut self, task: i64, number: i64, kind: &str, data: &str, previous: Hash) -> Hash {
        let mut canonical = Canonical::new();
        canonical.number(task).number(number).piece(kind.as_bytes()).piece(data.as_bytes());
        let hash = canonical.link(previous);
        self.events += 1;
        let insert = "insert into events (\"order\", task, number, at, actor, type, data, hash) values (?, ?, ?, ?, ?, ?, ?, ?)";
        self.sql(insert, params![self.events, task, number, task, "host/123/worker-17", kind, data, hash.0]);
        hash
    }

    fn create(&mut self, id: &str) -> (i64, Hash) {
        self.tasks += 1;
        let no = self.tasks;
        let data = r#"{"saga_id":"task","queue":"q","kind":"task","labels":{},"payload":{"n":1},"priority":0,"policy":{"lease_ttl":"60s","max_attempts":1},"compensations":[]}"#;
        let hash = self.event(no, 1, "created", data, Hash::START);
        let insert = "insert into tasks (no, namespace, id, saga_id, queue, kind, state, priority, labels, payload, policy, \
                      attempts, epoch, revision, owed, compensations, created_at, updated_at, head) \
                      values (?, 'default', ?2, ?2, 'q', 'task', 'planned', 0, '{}', '{\"n\":1}', \
                      '{\"lease_ttl\":\"60s\",\"max_attempts\":1}', 0, 0, 1, 0, 0, ?1, ?1, ?3)";
        self.sql(insert, params![no, id, hash.0]);
        (no, hash)
    }

    fn acquire(&mut self, no: i64, id: &str, head: Hash) -> Hash {
        self.read(id);
        let hash =
            self.event(no, 2, "acquired", r#"{"owner":"host/123/worker-17","epoch":1,"ttl":"60s"}"#, head);
        let update = "update tasks set state = 'running', epoch = 1, attempts = 1, revision = 2, updated_at = ?1, \
                      started_at = ?1, head = ?2 where no = ?1 and revision = 1";
        assert_eq!(self.sql(update, params![no, hash.0]), 1);
        let insert = "insert into due (task, wait, namespace, owner, granted_to, epoch, ttl, since, heartbeat_at, \
                      progressed_at, expires_at, check_at, cancel_asked, held_back) values (?1, 'lease', 'default', \
                      'host/123/worker-17', 'host/123/worker-17', 1, 60, ?1, ?1, ?1, ?1, ?1, 0, 0)";
        self.sql(insert, params![no]);
        hash
    }

    fn beat(&self, no: i64, beat: i64) {
        let update = "update due set heartbeat_at = ?1, expires_at = ?1 where task = ?2 and epoch = 1 \
                      and owner = 'host/123/worker-17'";
        assert_eq!(self.sql(update, params![no + beat, no]), 1);
    }

    fn complete(&mut self, no: i64, id: &str, head: Hash) {
        self.read(id);
        self.sql("delete from due where task = ?", params![no]);
        let hash = self.event(
            no,
            3,
            "completed",
            r#"{"state":"completed","cause":"completed","result":{"ok":true}}"#,
            head,
        );
        let update = "update tasks set state = 'completed', cause = 'completed', revision = 3, updated_at = ?1, \
                      finished_at = ?1, result = '{\"ok\":true}', head = ?2 where no = ?1 and revision = 2";
        assert_eq!(self.sql(update, params![no, hash.0]), 1);
    }

    fn read(&self, id: &str) {
        let select = "select epoch, state from tasks where namespace = 'default' and id = ?";
        let mut select = self.connection.prepare_cached(select).expect("prepared");
        let _: (i64, String) = select.query_row([id], |row| Ok((row.get(0)?, row.get(1)?))).expect("a row");
    }

    fn commit(&self) {
        self.connection.execute_batch("commit").expect("committed");
    }

    fn begin(&self) {
        self.connection.execute_batch("begin immediate").expect("begun");
    }
}

/// A life by hand, as far as it is.
struct BareLife {
    no: i64,
    id: String,
    head: Hash,
}

/// As many lives side by side as there are callers, each with one command to a commit, at different steps.
fn bare_lives(callers: usize, seconds: Duration) -> f64 {
    let folder = tempfile::tempdir().expect("a folder");
    let mut bare = Bare { connection: bare(folder.path()), tasks: 0, events: 0 };
    let mut lives: Vec<BareLife> =
        (0..callers).map(|_| BareLife { no: 0, id: String::new(), head: Hash::START }).collect();
    let (begun, mut commands) = (Instant::now(), 0_u64);
    for round in 0.. {
        if begun.elapsed() >= seconds {
            break;
        }
        bare.begin();
        for (at, life) in lives.iter_mut().enumerate().filter(|(at, _)| round >= at % 6) {
            match (round - at % 6) % 6 {
                0 => {
                    life.id = format!("task-{:010}", bare.tasks);
                    (life.no, life.head) = bare.create(&life.id);
                }
                1 => life.head = bare.acquire(life.no, &life.id, life.head),
                5 => bare.complete(life.no, &life.id, life.head),
                beat => bare.beat(life.no, beat as i64),
            }
            commands += 1;
        }
        bare.commit();
    }
    commands as f64 / COMMANDS_OF_A_LIFE / begun.elapsed().as_secs_f64()
}

fn bare_heartbeats(batch: usize, seconds: Duration) -> f64 {
    let folder = tempfile::tempdir().expect("a folder");
    let mut bare = Bare { connection: bare(folder.path()), tasks: 0, events: 0 };
    bare.begin();
    for at in 0..LEASED {
        let id = format!("task-{at:08}");
        let (no, head) = bare.create(&id);
        bare.acquire(no, &id, head);
    }
    bare.commit();
    let (begun, mut count) = (Instant::now(), 0_usize);
    while begun.elapsed() < seconds {
        bare.begin();
        for _ in 0..batch {
            bare.beat((count % LEASED) as i64 + 1, count as i64);
            count += 1;
        }
        bare.commit();
    }
    count as f64 / begun.elapsed().as_secs_f64()
}
