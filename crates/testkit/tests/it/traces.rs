//! Compares SQLite, PostgreSQL and a store behind its JSON with the memory store by generated traces: the same
//! answers, the same history to the byte, the same lists. And each moves into each other whole.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::prop_assert_eq;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};
use tenure::clock::ManualClock;
use tenure_testkit::moving::{content, exported, imported};
use tenure_testkit::server::{Server, required};
use tenure_testkit::traces::{compare, compare_what_is_stored, trace};
use tenure_testkit::world::StoryWorld;
use tenure_testkit::written::WrittenStore;
use tenure_testkit::{BEGINNING, block_on, memory, postgres, seed, sqlite};

/// The default; `TENURE_TRACES` changes it.
fn count(usual: u32) -> u32 {
    std::env::var("TENURE_TRACES").ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

fn runner(cases: u32) -> TestRunner {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed().to_be_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 4_000, ..Config::default() };
    TestRunner::new_with_rng(config, rng)
}

#[test]
fn sqlite_answers_as_memory_does_and_writes_the_same_history() {
    let count = count(2_000);
    let told = format!("replay with TENURE_TEST_SEED={:x} TENURE_TRACES={count}", seed());
    let result = runner(count).run(&trace(), |steps| {
        block_on(async {
            let (one, other) = (ManualClock::at(BEGINNING), ManualClock::at(BEGINNING));
            let reference = memory(&one);
            let (_folder, file) = sqlite(&other).await;
            let compared = compare(&steps, (reference.as_ref(), file.as_ref()), [&one, &other]).await;
            compared.map_err(|what| TestCaseError::fail(format!("{what}\n{told}")))?;
            StoryWorld::new(file, other).look_around().await.map_err(TestCaseError::fail)
        })
    });
    if let Err(failure) = result {
        panic!("{failure}\n{told}");
    }
    println!("{count} traces, seed {:x}", seed());
}

/// After any trace each store moves into another one, of either kind: the tasks, the history and what is due are the same, and it is
/// exported again to the byte.
#[test]
fn what_is_exported_and_imported_is_the_same_store_and_the_same_export() {
    let count = count(200);
    let told = format!("replay with TENURE_TEST_SEED={:x} TENURE_TRACES={count}", seed());
    let result = runner(count).run(&trace(), |steps| {
        block_on(async {
            let clocks = [ManualClock::at(BEGINNING), ManualClock::at(BEGINNING)];
            let reference = memory(&clocks[0]);
            let (_folder, file) = sqlite(&clocks[1]).await;
            compare(&steps, (reference.as_ref(), file.as_ref()), [&clocks[0], &clocks[1]])
                .await
                .map_err(TestCaseError::fail)?;
            // What was refused had an instant, too, and no export tells of it.
            clocks.iter().for_each(|clock| clock.advance(Duration::from_millis(1)));
            let (_other_folder, new_file) = sqlite(&clocks[0]).await;
            let new_memory = memory(&clocks[1]);
            for (from, to, exact) in [(&reference, &new_file, &reference), (&file, &new_memory, &new_memory)]
            {
                let exported = exported(from.as_ref()).await;
                let (report, refused) = imported(to.as_ref(), &exported).await;
                prop_assert_eq!((refused, report.refused), (vec![], 0), "{}", &told);
                // What is due next is exact in memory, and a hint elsewhere.
                let other = if Arc::ptr_eq(exact, from) { to } else { from };
                let compared = compare_what_is_stored(exact.as_ref(), other.as_ref()).await;
                compared.map_err(|what| TestCaseError::fail(format!("{what}\n{told}")))?;
                prop_assert_eq!(content(&self::exported(to.as_ref()).await), content(&exported), "{}", &told);
            }
            Ok(())
        })
    });
    if let Err(failure) = result {
        panic!("{failure}\n{told}");
    }
    println!("{count} traces, seed {:x}", seed());
}

#[test]
fn what_goes_through_the_public_json_is_what_it_was() {
    let count = count(2_000);
    let told = format!("replay with TENURE_TEST_SEED={:x} TENURE_TRACES={count}", seed());
    let result = runner(count).run(&trace(), |steps| {
        block_on(async {
            let (one, other) = (ManualClock::at(BEGINNING), ManualClock::at(BEGINNING));
            let (reference, written) = (memory(&one), WrittenStore::over(memory(&other)));
            let compared = compare(&steps, (reference.as_ref(), written.as_ref()), [&one, &other]).await;
            compared.map_err(|what| TestCaseError::fail(format!("{what}\n{told}")))?;
            StoryWorld::new(written, other).look_around().await.map_err(TestCaseError::fail)
        })
    });
    if let Err(failure) = result {
        panic!("{failure}\n{told}");
    }
    println!("{count} traces, seed {:x}", seed());
}

#[test]
fn postgresql_answers_as_memory_does_and_writes_the_same_history() {
    let Some(server) = required(Server::shared()) else { return };
    let count = count(200);
    let told = format!("replay with TENURE_TEST_SEED={:x} TENURE_TRACES={count}", seed());
    let result = runner(count).run(&trace(), |steps| {
        block_on(async {
            let (one, other) = (ManualClock::at(BEGINNING), ManualClock::at(BEGINNING));
            let reference = memory(&one);
            let database = postgres(server, &other).await;
            let compared = compare(&steps, (reference.as_ref(), database.as_ref()), [&one, &other]).await;
            compared.map_err(|what| TestCaseError::fail(format!("{what}\n{told}")))?;
            StoryWorld::new(database, other).look_around().await.map_err(TestCaseError::fail)
        })
    });
    if let Err(failure) = result {
        panic!("{failure}\n{told}");
    }
    println!("{count} traces, seed {:x}", seed());
}
