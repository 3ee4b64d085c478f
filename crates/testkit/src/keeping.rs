//! Helpers for stories about kept leases: faulty stores in real time, and a lease on a new task.

use std::sync::Arc;
use std::time::Duration;

use tenure::core::refusal::Code;
use tenure::keeper::{Held, KeptLease, LeaseStatus};
use tenure::store::Store;
use tenure::store::memory::MemoryStore;
use tenure::store::sqlite::{SqliteOptions, SqliteStore};
use tenure::{Error, Ledger};

use crate::block_on;
use crate::faulty::FaultyStore;

/// The length of leases that must be kept: a machine that stalls for less than two thirds of it loses none.
pub const KEPT: Duration = Duration::from_secs(3);
/// The length of leases that must be lost.
pub const SHORT: Duration = Duration::from_secs(1);
/// A store with faults.
pub type Faulty = Arc<FaultyStore>;

/// Plays a story on a store in memory, whose clock is the machine's.
pub fn in_memory<F: Future<Output = Result<(), Error>>>(story: impl FnOnce(Ledger, Faulty) -> F) {
    block_on(async {
        let store = FaultyStore::over(Arc::new(MemoryStore::default()));
        story(Ledger::with_store(store.clone()), store).await.expect("in memory");
    });
}

/// The same, and again on SQLite.
pub fn on_every_store<F: Future<Output = Result<(), Error>>>(story: impl Fn(Ledger, Faulty) -> F) {
    in_memory(&story);
    block_on(async {
        let folder = tempfile::tempdir().expect("a folder");
        let options = SqliteOptions::new(folder.path().join("tasks.db"));
        let store: Arc<dyn Store> = Arc::new(SqliteStore::open(options).await.expect("opens"));
        let store = FaultyStore::over(store);
        story(Ledger::with_store(store.clone()), store).await.expect("on SQLite");
    });
}

/// A lease on a new task.
pub async fn kept(ledger: &Ledger, id: &str, ttl: Duration) -> Result<KeptLease, Error> {
    ledger.create(id).await?;
    ledger.acquire(id, "w1").ttl(ttl).keep().await
}

/// The status of a held lease.
pub fn held(lease: &KeptLease) -> Held {
    match lease.status().borrow().clone() {
        LeaseStatus::Held(held) => held,
        other => panic!("it is not held: {other:?}"),
    }
}

/// The word of a refusal.
pub fn code<T: std::fmt::Debug>(answer: Result<T, Error>) -> Code {
    answer.expect_err("it is refused").code().expect("a refusal, not an error")
}
