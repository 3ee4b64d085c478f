//! What holds for every store also holds for a store over HTTP, even if the network loses requests and responses.

use std::sync::Arc;
use std::time::Duration;

use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};
use tenure::Ledger;
use tenure::clock::ManualClock;
use tenure::ledger::JsonText;
use tenure::store::Store;
use tenure_testkit::relay::Relay;
use tenure_testkit::served::{CountedStore, Served};
use tenure_testkit::server::{Server, required};
use tenure_testkit::story::stories;
use tenure_testkit::traces::{Lossy, compare, compare_lossy, trace, within_any_reach};
use tenure_testkit::waiting::until;
use tenure_testkit::world::StoryWorld;
use tenure_testkit::{BEGINNING, block_on, memory, postgres, seed, sqlite};

/// The default; that variable changes it.
fn count(variable: &str, usual: u32) -> u32 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

fn runner(cases: u32) -> TestRunner {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed().to_be_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 400, ..Config::default() };
    TestRunner::new_with_rng(config, rng)
}

async fn remote(url: &str) -> Arc<dyn Store> {
    Arc::clone(Ledger::open(url).await.expect("a server").store())
}

/// Plays every story over HTTP, on stores that `make` gives.
async fn play<K>(make: impl AsyncFn(&ManualClock) -> (K, Arc<dyn Store>)) {
    let mut failed = Vec::new();
    // How far a command reaches is decided by the server, by who sends it: see the stories about access.
    let stories: Vec<_> =
        stories().into_iter().filter(|story| !story.file.ends_with("reach.story")).collect();
    for story in &stories {
        let clock = ManualClock::at(BEGINNING);
        let (_kept, store) = make(&clock).await;
        let served = Served::on(store);
        let mut world = StoryWorld::new(remote(&served.url).await, clock);
        failed.extend(world.play(story).await.err());
    }
    assert!(failed.is_empty(), "{} of {} stories fail:\n{}", failed.len(), stories.len(), failed.join("\n"));
}

#[test]
fn every_story_holds_over_http_on_sqlite() {
    block_on(play(async |clock| sqlite(clock).await));
}

#[test]
fn every_story_holds_over_http_on_postgresql() {
    let Some(server) = required(Server::shared()) else { return };
    block_on(play(async |clock| ((), postgres(server, clock).await)));
}

#[test]
fn over_http_answers_are_as_memory_has_them_and_the_history_is_the_same() {
    let count = count("TENURE_TRACES", 200);
    let told = format!("replay with TENURE_TEST_SEED={:x} TENURE_TRACES={count}", seed());
    let result = runner(count).run(&trace(), |steps| {
        block_on(async {
            let (one, other) = (ManualClock::at(BEGINNING), ManualClock::at(BEGINNING));
            let reference = memory(&one);
            let (_folder, file) = sqlite(&other).await;
            let served = Served::on(file);
            let far = remote(&served.url).await;
            let steps = within_any_reach(steps);
            let compared = compare(&steps, (reference.as_ref(), far.as_ref()), [&one, &other]).await;
            compared.map_err(|what| TestCaseError::fail(format!("{what}\n{told}")))
        })
    });
    if let Err(failure) = result {
        panic!("{failure}\n{told}");
    }
    println!("{count} traces, seed {:x}", seed());
}

#[test]
fn where_the_network_loses_what_it_carries_no_answer_is_twice_and_none_is_lost() {
    let count = count("TENURE_LOSSY_TRACES", 12);
    let told = format!("replay with TENURE_TEST_SEED={:x} TENURE_LOSSY_TRACES={count}", seed());
    let lost = std::sync::Mutex::new([0_u32; 3]);
    let result = runner(count).run(&trace(), |steps| {
        block_on(async {
            let (one, other) = (ManualClock::at(BEGINNING), ManualClock::at(BEGINNING));
            let reference = memory(&one);
            let (_folder, file) = sqlite(&other).await;
            let served = Served::on(Arc::clone(&file));
            let relay = Relay::to(served.port, seed() ^ steps.len() as u64).await;
            let far = remote(&format!("http://127.0.0.1:{}", relay.port())).await;
            relay.lose_one_in(6);
            let steps = within_any_reach(steps);
            // What is stored is looked at where it is, and not over what loses it.
            let stores = Lossy { reference: reference.as_ref(), far: far.as_ref(), near: file.as_ref() };
            let compared = compare_lossy(&steps, stores, [&one, &other]).await;
            let mut lost = lost.lock().expect("no panic");
            lost.iter_mut().zip(relay.lost()).for_each(|(all, more)| *all += more);
            compared.map_err(|what| TestCaseError::fail(format!("{what}\n{told}")))
        })
    });
    if let Err(failure) = result {
        panic!("{failure}\n{told}");
    }
    let lost = lost.into_inner().expect("no panic");
    println!("{count} traces, seed {:x}; lost requests, replies, connections: {lost:?}", seed());
    assert!(lost.iter().all(|count| *count > 0), "every kind of loss was met: {lost:?}");
}

#[test]
fn a_claim_that_waits_over_http_hears_of_what_comes_and_a_call_of_thousands_is_answered_whole() {
    block_on(async {
        let clock = ManualClock::at(BEGINNING);
        let store = CountedStore::over(memory(&clock));
        let served = Served::on(store.clone());
        let ledger = Ledger::open(&served.url).await.expect("a server");
        let waiting = tokio::spawn(ledger.claim("q", "w").wait_up_to(Duration::from_secs(60)));
        until("it waits, at the server", || store.waits() > 0).await;
        ledger.create("late").queue("q").await.expect("created");
        // Without hearing of it, it would ask again after 30 s.
        let claimed = tokio::time::timeout(Duration::from_secs(15), waiting).await;
        let claimed = claimed.expect("it hears of it").expect("no panic").expect("claimed");
        assert_eq!(claimed[0].id.as_str(), "late");
        // More than one request takes, in commands and in bytes.
        let payload = format!("\"{}\"", "x".repeat(2_000));
        let create = |at: usize| ledger.create(&format!("t{at:05}")).payload(JsonText(&payload)).command();
        let commands: Vec<_> = (0..3_000).map(create).collect::<Result<_, _>>().expect("commands");
        let answers = ledger.transact(commands).await;
        assert_eq!(answers.len(), 3_000);
        assert!(answers.iter().all(Result::is_ok));
        let page = ledger.tasks(tenure::store::Filter::default(), None, 2_500).await.expect("a list");
        assert_eq!((page.items.len(), page.next.is_some()), (2_500, true), "over several pages");
    });
}
