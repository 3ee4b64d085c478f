//! The metrics of a store match what it did: commits, what waits, what grows.

use tenure::Ledger;
use tenure::clock::ManualClock;
use tenure::core::time::Span;
use tenure::store::metrics::StoreMetrics;
use tenure_testkit::waiting::until_asked;
use tenure_testkit::{BEGINNING, block_on, memory, sqlite};

async fn of(ledger: &Ledger) -> StoreMetrics {
    ledger.store().metrics().await.expect("a store that is there tells")
}

#[test]
fn commands_are_counted_by_the_batches_that_they_were_committed_in() {
    block_on(async {
        let clock = ManualClock::at(BEGINNING);
        let (_folder, file) = sqlite(&clock).await;
        for store in [memory(&clock), file] {
            let ledger = Ledger::with_store(store);
            assert_eq!(of(&ledger).await.batch.count(), 0);
            ledger.create("a").await.expect("created");
            let creates = (0..7).map(|nth| ledger.create(&format!("b{nth}")).command().expect("a command"));
            ledger.transact(creates.collect()).await;
            let metrics = of(&ledger).await;
            assert_eq!(metrics.batch.ends()[..4], [1, 2, 5, 10]);
            assert_eq!(metrics.batch.counts()[..4], [1, 0, 0, 1]);
            assert_eq!((metrics.batch.count(), metrics.batch.sum()), (2, 8), "two commits, eight commands");
            assert_eq!(metrics.commit_us.count(), 2, "each of them took some time");
            assert_eq!((metrics.waiting_commands, metrics.feed_lag), (0, None));
        }
    });
}

#[test]
fn what_waits_for_its_turn_is_seen_and_so_is_the_log_that_commits_go_to() {
    block_on(async {
        let (folder, store) = sqlite(&ManualClock::at(BEGINNING)).await;
        let ledger = Ledger::with_store(store);
        ledger.create("a").await.expect("created");
        let log = folder.path().join("tasks.db-wal");
        let bytes = std::fs::metadata(&log).expect("it was written to").len();
        assert!(bytes > 0);
        assert_eq!(of(&ledger).await.wal_bytes, Some(bytes));
        let other = rusqlite::Connection::open(folder.path().join("tasks.db")).expect("opens");
        other.execute_batch("begin immediate").expect("somebody else has the lock");
        let one = ledger.clone();
        let creates = (0..3).map(|nth| one.create(&format!("b{nth}")).command().expect("a command"));
        let creates = creates.collect();
        let waiting = tokio::spawn(async move { one.transact(creates).await });
        until_asked("that they wait", async || of(&ledger).await.waiting_commands == 3).await;
        other.execute_batch("rollback").expect("and lets go");
        assert!(waiting.await.expect("it ends").iter().all(Result::is_ok));
        let metrics = of(&ledger).await;
        assert_eq!((metrics.waiting_commands, metrics.batch.sum()), (0, 4));
    });
}

#[test]
fn of_a_store_that_tells_nothing_nothing_is_made_up() {
    let metrics = StoreMetrics::default();
    assert_eq!((metrics.batch.count(), metrics.wal_bytes, metrics.feed_lag), (0, None, None::<Span>));
}
