//! Probes of a server whose store is gone or does not answer.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tenure::access::{NamespaceScope, Role};
use tenure::clock::ManualClock;
use tenure::core::verb::Verb;

use tenure::handler::Handlers;
use tenure_server::{Limits, Options};
use tenure_testkit::faulty::{Fault, FaultyStore};
use tenure_testkit::served::{Client, CountedStore, Served, in_time, until_reply};
use tenure_testkit::waiting::until;
use tenure_testkit::{BEGINNING, block_on, memory};

use super::access::token;

/// A server on a store that can be away, and somebody who may watch it.
struct Watched {
    store: Arc<FaultyStore>,
    /// In front of that store.
    counted: Arc<CountedStore>,
    served: Served,
    client: Client,
}

async fn watched(limits: Limits) -> Watched {
    let store = FaultyStore::over(memory(&ManualClock::at(BEGINNING)));
    let counted = CountedStore::over(store.clone());
    // What was measured a moment ago is not told again.
    let limits = limits.with(|limits| limits.measured_age_max = Duration::ZERO);
    let options = Options::default().with(|options| options.limits = limits);
    let served = Served::with(counted.clone(), options, Handlers::new());
    let secret = token(&(store.clone() as Arc<_>), "dash", Role::Reader, NamespaceScope::All, None).await;
    let client = served.client().with_token(&secret);
    Watched { store, counted, served, client }
}

async fn metrics(client: &Client) -> String {
    let reply = client.get("/metrics").await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    reply.text
}

async fn hears_that_it_is_away(served: &Served, client: &Client) {
    let ready = served.client().get("/readyz").await;
    assert_eq!(
        (ready.status, &ready.body["ready"], &ready.body["store"]),
        (503, &false.into(), &"away".into())
    );
    served.client().get("/livez").await.done(200);
    let text = metrics(client).await;
    assert!(text.contains("\ntenure_store_up 0\n"), "{text}");
    assert!(!text.contains("\ntenure_tasks{"), "no number stands there for what is not known: {text}");
    let stranger = served.client().with_token("tenure_0000").get("/metrics").await;
    stranger.is_problem(401, "unauthenticated");
}

async fn hears_that_it_is_there(served: &Served, client: &Client) {
    served.client().get("/readyz").await.done(200);
    let text = metrics(client).await;
    assert!(text.contains("\ntenure_store_up 1\n") && text.contains("\ntenure_tasks{"), "{text}");
}

#[test]
fn who_watches_hears_that_the_store_is_away_and_that_it_is_back() {
    block_on(async {
        let Watched { store, served, client, .. } = watched(Limits::default()).await;
        hears_that_it_is_there(&served, &client).await;
        store.goes_down();
        client.get("/v1/now").await.is_problem(503, "unavailable");
        hears_that_it_is_away(&served, &client).await;
        store.calms_down();
        hears_that_it_is_there(&served, &client).await;
    });
}

#[test]
fn who_watches_does_not_wait_for_a_store_that_says_nothing() {
    block_on(async {
        let limits = Limits::default().with(|limits| {
            limits.watch_wait_max = Duration::from_secs(1);
            limits.store_wait_max = Duration::from_secs(600);
        });
        let Watched { store, counted, served, client } = watched(limits).await;
        hears_that_it_is_there(&served, &client).await;
        store.falls_silent();
        // Somebody else waits for it, and is in nobody's way.
        let looks = counted.token_looks();
        let waiting = {
            let client = client.clone();
            tokio::spawn(async move { client.get("/v1/now").await })
        };
        until("it is asked", || counted.token_looks() > looks).await;
        in_time("what is told to those who watch", hears_that_it_is_away(&served, &client)).await;
        assert!(!waiting.is_finished(), "the store has answered nothing");
        waiting.abort();
        store.calms_down();
        // The server must first see that the waiting client is gone.
        until_reply("the store", async || served.client().get("/readyz").await, |told| told.status == 200)
            .await;
        hears_that_it_is_there(&served, &client).await;
    });
}

#[test]
fn while_no_token_was_ever_seen_an_away_store_lets_nobody_watch() {
    block_on(async {
        let store = FaultyStore::over(memory(&ManualClock::at(BEGINNING)));
        store.goes_down();
        let served = Served::on(store);
        served.client().get("/metrics").await.is_problem(503, "unavailable");
    });
}

#[test]
fn who_watches_hears_that_nothing_can_be_written() {
    block_on(async {
        // Two that fail one after the other are further apart than this.
        let limits = Limits::default().with(|limits| limits.writes_refused_after = Duration::from_micros(1));
        let Watched { store, served, client, .. } = watched(limits).await;
        let writer = token(&(store.clone() as Arc<_>), "w", Role::Worker, NamespaceScope::All, None).await;
        let writer = served.client().with_token(&writer);
        let create = async |id: &str| writer.post("/v1/default/tasks", json!({ "id": id })).await;
        store.meets_times(usize::MAX, Verb::Create, Fault::Unavailable);
        create("a").await.is_problem(503, "unavailable");
        // One that fails may come of a moment in which there was too much to do.
        served.client().get("/readyz").await.done(200);
        create("a").await.is_problem(503, "unavailable");
        let ready = served.client().get("/readyz").await;
        assert_eq!((ready.status, &ready.body["store"]), (503, &"reads_only".into()));
        let text = metrics(&client).await;
        assert!(text.contains("\ntenure_store_up 0\n"), "{text}");
        let stats = writer.get("/v1/default/stats").await.done(200);
        let warning = stats["stats"]["warnings"][0].as_str().expect("a warning");
        assert!(warning.starts_with("the store can't be written for "), "{warning}");
        // A claim that finds nothing writes nothing, and tells nothing.
        writer.post("/v1/default/claims", json!({ "queue": "default", "owner": "w" })).await.done(200);
        assert_eq!(served.client().get("/readyz").await.status, 503);
        store.calms_down();
        create("a").await.done(201);
        hears_that_it_is_there(&served, &client).await;
    });
}

#[test]
fn many_who_ask_a_store_that_takes_long_to_fail_hear_of_it_together() {
    block_on(async {
        let limits = Limits::default().with(|limits| limits.store_wait_max = Duration::from_secs(600));
        let Watched { store, counted, served, client } = watched(limits).await;
        hears_that_it_is_there(&served, &client).await;
        store.fails_slowly(Duration::from_secs(1));
        store.goes_down();
        let looks = counted.token_looks();
        let asked = |client: Client| tokio::spawn(async move { client.get("/v1/now").await });
        let asking: Vec<_> = (0..20).map(|_| asked(client.clone())).collect();
        for one in asking {
            one.await.expect("it ends").is_problem(503, "unavailable");
        }
        // As a rule there are two: that of the first, and one for all who come during it. Some may come later.
        let looks = counted.token_looks() - looks;
        assert!(looks <= 10, "not one after the other: {looks} looks for 20");
    });
}

#[test]
fn nobody_waits_for_ever_for_a_store_that_does_not_say_who_may_ask() {
    block_on(async {
        let limits = Limits::default().with(|limits| limits.store_wait_max = Duration::from_secs(3));
        let Watched { store, served, client, .. } = watched(limits).await;
        hears_that_it_is_there(&served, &client).await;
        store.falls_silent();
        in_time("an answer", client.get("/v1/now")).await.is_problem(503, "unavailable");
        store.calms_down();
    });
}
