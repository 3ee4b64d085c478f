//! Test support for every store: stories and their world, generated traces, and the situations of the proof over the
//! table. It is never part of a product.

pub mod competing;
pub mod counting;
pub mod faulty;
pub mod keeping;
pub mod moving;
pub mod proxy;
pub mod relay;
pub mod retained;
pub mod served;
pub mod server;
pub mod situations;
pub mod story;
pub mod traces;
pub mod undoing;
pub mod waiting;
pub mod world;
pub mod written;

use std::sync::Arc;

use tenure::clock::ManualClock;
use tenure::store::Store;
use tenure::store::memory::MemoryStore;
use tenure::store::postgres::{PostgresOptions, PostgresStore};
use tenure::store::sqlite::{SqliteOptions, SqliteStore};
use tenure::{Error, Ledger};
use tenure_core::time::Time;

/// When worlds begin: 2026-01-01T00:00:00Z.
pub const BEGINNING: Time = Time::from_micros(1_767_225_600_000_000);

/// The seed of this run: `TENURE_TEST_SEED` in hexadecimal, so that a failure can be replayed; else always the same.
pub fn seed() -> u64 {
    let text = std::env::var("TENURE_TEST_SEED").unwrap_or_default();
    u64::from_str_radix(text.trim(), 16).unwrap_or(0x7e11_u64)
}

/// A store in memory on a clock that stands still.
pub fn memory(clock: &ManualClock) -> Arc<dyn Store> {
    Arc::new(MemoryStore::with_clock(Arc::new(clock.clone())))
}

/// A store on a file in a folder that goes with the guard, on a clock that stands still.
pub async fn sqlite(clock: &ManualClock) -> (tempfile::TempDir, Arc<dyn Store>) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let options = SqliteOptions::new(folder.path().join("tasks.db"))
        .with(|options| options.clock = Arc::new(clock.clone()));
    let store = SqliteStore::open(options).await.expect("a new file opens");
    (folder, Arc::new(store))
}

/// A store in a schema of its own, on a clock that stands still.
pub async fn postgres(server: &server::Server, clock: &ManualClock) -> Arc<dyn Store> {
    postgres_in(server, &server.fresh_schema(), clock).await
}

/// A store in that schema, on a clock that stands still.
pub async fn postgres_in(server: &server::Server, schema: &str, clock: &ManualClock) -> Arc<dyn Store> {
    let clock = Some(Arc::new(clock.clone()) as Arc<dyn tenure::clock::Clock>);
    let options = PostgresOptions::new(server.url(schema)).with(|options| options.clock = clock);
    PostgresStore::open(options).await.expect("the schema opens")
}

/// Plays a story in memory and on SQLite, each on a clock that stands still.
pub async fn on_local_stores<F: Future<Output = Result<(), Error>>>(
    story: impl Fn(Ledger, ManualClock) -> F,
) {
    let clock = ManualClock::at(BEGINNING);
    story(Ledger::with_store(memory(&clock)), clock).await.expect("in memory");
    let clock = ManualClock::at(BEGINNING);
    let (_folder, store) = sqlite(&clock).await;
    story(Ledger::with_store(store), clock).await.expect("on SQLite");
}

/// Runs a test that waits on stores.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(future)
}
